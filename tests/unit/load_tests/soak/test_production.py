import pytest
import yaml

from load_tests.soak.production import is_ready, serving
from load_tests.target import HostUnavailable


def test_a_server_is_ready_when_it_says_so(thread_server):
    assert not is_ready(thread_server.url)
    thread_server.pages["/v2/health/ready"] = b"{}"
    assert is_ready(thread_server.url)
    assert not is_ready("http://127.0.0.1:9")


def test_a_port_that_is_taken_is_told_before_anything_starts(thread_server, tmp_path):
    port = int(thread_server.url.rpartition(":")[2])
    config = tmp_path / "serve.yaml"
    config.write_text(yaml.safe_dump({"http_options": {"host": "127.0.0.1", "port": port}}))
    with pytest.raises(HostUnavailable, match=str(port)), serving(config):
        pass
