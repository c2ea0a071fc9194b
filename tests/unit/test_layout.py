"""Tests mirror the code: every module of logic has a test file of its name."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("serve_app", "deployments", "graphs", "load_tests")
PROGRAMS = ROOT / "load_tests/servers/apps"  # run in other interpreters, whose libraries are not here
EXEMPT = {
    # protocols and shells: no logic of their own; the cluster tests run them
    "serve_app/__main__.py",
    "load_tests/__main__.py",
    "load_tests/releases/__main__.py",
    "load_tests/target.py",
    "serve_app/release/control.py",
    "serve_app/release/messages.py",
    "deployments/client.py",
    "deployments/cluster.py",
    "deployments/gateway.py",
    "deployments/logs.py",
    "deployments/metrics.py",
    "deployments/releases.py",
    "graphs/gateway.py",
    "graphs/inference.py",
}


def test_every_module_has_its_test():
    modules = {
        path.relative_to(ROOT)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py" and PROGRAMS not in path.parents
    }
    untested = {
        str(module) for module in modules if not (ROOT / "tests/unit" / module.parent / f"test_{module.name}").exists()
    }
    assert untested == EXEMPT


def test_modules_are_small():
    sizes = {
        path: len(path.read_text().splitlines()) for package in PACKAGES for path in (ROOT / package).rglob("*.py")
    }
    assert max(sizes.values()) <= 400


def test_binding_happens_in_graphs_only():
    core = [path for package in ("serve_app", "deployments") for path in (ROOT / package).rglob("*.py")]
    assert [path for path in core if "serve.deployment(" in path.read_text()] == []
