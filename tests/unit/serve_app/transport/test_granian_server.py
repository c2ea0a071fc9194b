"""Granian as a guest: it minds the process's logging, and TLS holds."""

from __future__ import annotations

import logging
import logging.handlers
import ssl
from pathlib import Path

import httpx
import pytest
from support.certificates import Authority
from support.doors import digits_plane, express_of, opened_later

from serve_app.config.gateway import TlsConfig

REFUSED = (httpx.TransportError, ssl.SSLError)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def client_context(authority: Authority, *certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.file)
    if certificate:
        context.load_cert_chain(*certificate)
    return context


async def status_of(tls: TlsConfig, context: ssl.SSLContext) -> int:
    async with digits_plane() as plane, express_of(plane, tls=tls) as door, httpx.AsyncClient(verify=context) as client:
        response = await client.get(f"https://127.0.0.1:{door.port}/v2/health/live")
        return response.status_code


async def test_it_leaves_the_handlers_of_others_alone(tmp_path):
    log, file = logging.getLogger("somebody"), logging.FileHandler(tmp_path / "log")
    buffer = logging.handlers.MemoryHandler(100, target=file)
    log.addHandler(buffer)
    async with digits_plane() as plane, express_of(plane):
        log.warning("still here")
        assert buffer.target is file
    log.removeHandler(buffer)
    buffer.close()
    file.close()
    assert (tmp_path / "log").read_text() == "still here\n"


async def test_it_speaks_tls_with_its_certificate(authority):
    certificate, key, _ = authority.issue("door")
    assert await status_of(TlsConfig(certificate=certificate, key=key), client_context(authority)) == 200


@pytest.mark.parametrize(("least", "gets_in"), [("tls1.2", True), ("tls1.3", False)])
async def test_an_old_client_gets_in_where_it_may(authority, least, gets_in):
    certificate, key, _ = authority.issue("door")
    context = client_context(authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    tls = TlsConfig(certificate=certificate, key=key, min_version=least)
    if gets_in:
        assert await status_of(tls, context) == 200
    else:
        with pytest.raises(REFUSED):
            await status_of(tls, context)


async def test_only_clients_of_the_authority_get_in(authority, tmp_path):
    certificate, key, _ = authority.issue("door")
    *client, _ = authority.issue("client")
    tls = TlsConfig(certificate=certificate, key=key, client_ca=authority.file)
    assert await status_of(tls, client_context(authority, *client)) == 200
    with pytest.raises(REFUSED):
        await status_of(tls, client_context(authority))


async def test_a_client_whose_certificate_was_taken_back_stays_outside(authority):
    certificate, key, _ = authority.issue("door")
    *client, issued = authority.issue("client")
    tls = TlsConfig(
        certificate=certificate, key=key, client_ca=authority.file, client_crl=(authority.take_back(issued),)
    )
    with pytest.raises(REFUSED):
        await status_of(tls, client_context(authority, *client))


@pytest.mark.parametrize("wrong", ["certificate", "key", "client_ca", "client_crl"])
@pytest.mark.parametrize("content", ["missing", "no PEM", "of another kind"])
async def test_a_wrong_file_is_said_at_once(authority, tmp_path, wrong, content):
    certificate, key, _ = authority.issue("door")
    files = {"certificate": certificate, "key": key, "client_ca": authority.file}
    file = tmp_path / "wrong"
    if content == "no PEM":
        file.write_text(content)
    elif content == "of another kind":
        file = {"certificate": key, "key": certificate, "client_ca": certificate, "client_crl": certificate}[wrong]
    files[wrong] = (file,) if wrong == "client_crl" else file
    async with digits_plane() as plane:
        with pytest.raises(RuntimeError, match=r"cannot use its TLS files \(args.express.tls\): "):
            opened_later(plane, tls=TlsConfig(**files))


async def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_password(authority):
    certificate, key, _ = authority.issue("door", password="sesame")  # noqa: S106 - of a key made a moment ago
    async with digits_plane() as plane:
        with pytest.raises(RuntimeError, match=r"args.express.tls"):
            opened_later(plane, tls=TlsConfig(certificate=certificate, key=key))
