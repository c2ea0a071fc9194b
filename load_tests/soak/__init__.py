"""A long mixed load on configs/prod.yaml that checks every answer."""
