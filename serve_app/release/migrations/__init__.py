"""Steps from one schema of the controller's database to the next, executed by Alembic in the order of `versions/`.

A step that was released is never changed: a change of `serve_app.release.tables` is a new step.
"""
