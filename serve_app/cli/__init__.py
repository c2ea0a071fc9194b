"""The commands of `serve-app`."""
