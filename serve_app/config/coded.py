"""Releases whose graph is coded in Python: `import_path: graphs.MODULE:build`, where the module has `graph` as well.

`graph()` gives the `GraphConfig`, and must not need Ray; `build(args)` gives the release's application. Only modules of
this project's own package `graphs` are imported for that: reading a serve file runs nobody else's code.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from serve_app.config.graph import GraphConfig
from serve_app.config.import_lookup import look_up
from serve_app.errors import ConfigError

_PACKAGE, _BUILDER, _GRAPH = "graphs.", ":build", "graph"


def is_coded(import_path: str) -> bool:
    """Whether an application's builder is that of a coded graph; runs nothing."""
    module = import_path.removesuffix(_BUILDER)
    is_builder = import_path.startswith(_PACKAGE) and module != import_path
    return is_builder and look_up(f"{module}:{_GRAPH}").kind == "function"


def coded_graph(import_path: str) -> GraphConfig:
    """The graph that the builder's module codes.

    Raises:
        ConfigError: It does not, or it is wrong.
    """
    where = f"{import_path.removesuffix(_BUILDER)}:{_GRAPH}"
    try:
        graph = getattr(import_module(import_path.removesuffix(_BUILDER)), _GRAPH)()
    except Exception as error:  # the module's own code: whatever it raises is said where it is named
        raise ConfigError(f"{where}: {str(error) or type(error).__name__}") from error
    if not isinstance(graph, GraphConfig):
        raise ConfigError(f"{where} must give a GraphConfig, not {type(graph).__name__}")
    return graph


def repeated(args: Mapping[str, object]) -> Mapping[str, str]:
    """Keys of a release's `args` that say what the code says already, and why that cannot be."""
    return {key: "has no effect: the graph is coded in Python" for key in ("graph", "source") if key in args}


def with_graph(args: Mapping[str, object], graph: GraphConfig) -> dict[str, object]:
    """The `args` of a release, as the file has them, with its coded graph.

    Raises:
        ConfigError: They say what the code says already.
    """
    for key, reason in repeated(args).items():
        raise ConfigError(f"args.{key} {reason}")
    return {**args, "graph": graph}
