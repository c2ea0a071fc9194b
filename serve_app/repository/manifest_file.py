"""Reading and writing `model.yaml` with its size, depth and spelling under control."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from serve_app.config.located import ODD_SCALAR_ERRORS, is_long_number, odd_scalar
from serve_app.config.manifest import Manifest
from serve_app.errors import ManifestError

MANIFEST_NAME = "model.yaml"
MAX_MANIFEST_BYTES = 4 * 2**20  # golden rows of a few images; libyaml takes about a second for this much
_MAX_DEPTH = 24  # golden: list, mapping, mapping, then a tensor's axes
_MAX_FAULTS = 20

# libyaml's parser where PyYAML was built with it (all wheels are), the Python one elsewhere.
_BaseLoader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_BaseLoader):  # type: ignore[misc, valid-type]  # the base is chosen when the module is imported
    """A safe loader that refuses a key given twice: YAML would keep the last and ignore the first.

    A value that its explicit tag does not fit is an error of YAML's too, with its line.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
        if isinstance(node, yaml.ScalarNode) and is_long_number(node):
            reason = f"a number of {len(node.value)} characters"
            raise yaml.constructor.ConstructorError(None, None, reason, node.start_mark)
        try:
            return super().construct_object(node, deep)
        except ODD_SCALAR_ERRORS as error:
            if not isinstance(node, yaml.ScalarNode):
                raise
            raise yaml.constructor.ConstructorError(None, None, odd_scalar(node), node.start_mark) from error

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Hashable, Any]:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []  # the base refuses `!!map [...]`
        keys = Counter(key.value for key, _ in pairs if isinstance(key, yaml.ScalarNode))
        if twice := sorted(key for key, times in keys.items() if times > 1):
            raise yaml.constructor.ConstructorError(None, None, f"key {twice[0]!r} is there twice", node.start_mark)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping


class _Dumper(yaml.SafeDumper):
    """A safe dumper that writes equal parts in full: aliases are not read back."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def parse_manifest(data: bytes, path: str) -> Manifest:
    """The manifest in the bytes of a `model.yaml`.

    Args:
        data: At most `MAX_MANIFEST_BYTES`.
        path: Where the bytes are from; messages begin with it.

    Raises:
        ManifestError: The file is too long, not YAML, or not a manifest; the message has every fault of the schema.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise ManifestError(path, f"is longer than {MAX_MANIFEST_BYTES} bytes")
    try:
        _refuse_bombs(data, path)
        document = yaml.load(data, Loader=_Loader)  # noqa: S506 - a subclass of SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise ManifestError(path, f"is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        raise ManifestError(path, "must be a mapping with format, artifact, sha256, inputs and outputs")
    try:
        return Manifest.model_validate(document)
    except ValidationError as error:
        raise ManifestError(path, _faults(error)) from None


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write `manifest` as the `model.yaml` of `directory`, leaving defaults out."""
    document = manifest.model_dump(mode="json", exclude_defaults=True)
    if manifest.profile is not None:
        document["profile"]["ms_by_rows"] = dict(manifest.profile.ms_by_rows)  # JSON has no integer keys, YAML has
    text = yaml.dump(document, None, _Dumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
    (directory / MANIFEST_NAME).write_text(text, encoding="utf-8")


def _refuse_bombs(data: bytes, path: str) -> None:
    """Look at the flat event stream, before anything is built from it, for aliases and for too deep nesting."""
    depth = 0
    for event in yaml.parse(data, Loader=_BaseLoader):
        if isinstance(event, yaml.AliasEvent):
            raise ManifestError(path, f"aliases (*{event.anchor}) are not taken")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _MAX_DEPTH:
            raise ManifestError(path, f"nests deeper than {_MAX_DEPTH} levels")


def _faults(error: ValidationError) -> str:
    """Every fault as `path: message`, joined; a long list is cut."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    faults = [f"{'.'.join(map(str, detail['loc'])) or 'model.yaml'}: {detail['msg']}" for detail in details]
    more = [f"and {len(faults) - _MAX_FAULTS} more"] if len(faults) > _MAX_FAULTS else []
    return "; ".join(faults[:_MAX_FAULTS] + more)
