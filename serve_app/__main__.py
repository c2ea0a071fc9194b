"""`python -m serve_app`: the command line without Ray's own checks, for machines that have no Ray."""

from __future__ import annotations

from serve_app.cli.app import build_app

if __name__ == "__main__":
    build_app()()
