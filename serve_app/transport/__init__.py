"""HTTP in and out: routes, statuses, headers."""
