"""`python -m load_tests.releases`; what it can do is in `command.py`."""

if __name__ == "__main__":
    from load_tests.releases.command import app

    app()
