"""`python -m load_tests`; what it can do is in `cli.py`."""

if __name__ == "__main__":  # load generators are processes that import this module again, and need nothing of the rest
    from load_tests.cli import app

    app()
