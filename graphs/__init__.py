"""Application builders, the import_path of every YAML; the only place that binds."""
