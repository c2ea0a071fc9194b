"""Where model versions are kept."""
