"""The core of the model server: no Ray in it."""
