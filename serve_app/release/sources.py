"""Where a model that is registered by a call may lie: below one of the operator's sources, links followed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from serve_app.errors import Forbidden, InvalidInput
from serve_app.repository.manifest_file import MANIFEST_NAME

SETTING = "args.admin.sources of the gateway"
_URL = "://"


def allowed_source(source: str, sources: Sequence[str]) -> str:
    """The source of a model version as a release may have it: an absolute path without links, or the URL.

    A path is compared with the operator's once both are resolved; a URL must begin with one of theirs. Blocks on the
    file system.

    Raises:
        Forbidden: It is below none of them.
        InvalidInput: It is no folder with a `model.yaml`, or a URL that could mean another place than it says.
    """
    if _URL in source:
        return _allowed_url(source, [root for root in sources if _URL in root])
    if "\0" in source or ".." in Path(source).parts:
        raise InvalidInput("url", f"{source[:200]!a} must be a path without '..'")
    try:
        path = Path(source).expanduser().resolve()
        roots = [Path(root).expanduser().resolve() for root in sources if _URL not in root]
        if not any(path.is_relative_to(root) for root in roots):
            raise Forbidden(f"a model at {source[:200]!a}", SETTING)
        is_version = (path / MANIFEST_NAME).is_file()
    except (OSError, RuntimeError) as error:  # RuntimeError: a user whose home is not known, links in circles
        raise InvalidInput("url", f"{source[:200]!a} cannot be read: {error}") from None
    if not is_version:
        raise InvalidInput("url", f"{source[:200]!a} is no folder of a model version: it has no {MANIFEST_NAME}")
    return str(path)


def _allowed_url(source: str, roots: Sequence[str]) -> str:
    scheme, _, rest = source.partition(_URL)
    if scheme.lower() in ("file", "local"):
        raise InvalidInput("url", f"{source[:200]!a} must be a path instead: links in it are followed first")
    is_plain = source.isascii() and source.isprintable() and not set(source) & set("\\?#@ %")
    if not is_plain or "::" in source or {"..", "."} & set(unquote(rest).split("/")):
        raise InvalidInput("url", f"{source[:200]!a} must be plain: none of '..', '::', '%', '?', '#', '@' in it")
    if not any(source.startswith(root.rstrip("/") + "/") for root in roots):
        raise Forbidden(f"a model at {source[:200]!a}", SETTING)
    return source.rstrip("/")
