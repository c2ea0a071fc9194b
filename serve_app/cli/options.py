"""Options that several commands have, and the clock they wait by; light, because a rollback is in a hurry."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from serve_app.cli.releases import Clock

CLOCK = Clock(time.monotonic, time.sleep)
DASHBOARD_VARIABLES = ["RAY_DASHBOARD_ADDRESS", "RAY_API_SERVER_ADDRESS"]
"""Where `serve deploy` and `ray job` look for the dashboard's address."""

DEFAULT_DASHBOARD = "http://127.0.0.1:8265"

Dashboard = Annotated[
    str, typer.Option("--dashboard", envvar=DASHBOARD_VARIABLES, help="Where the Ray dashboard answers.")
]
TokenEnv = Annotated[
    str | None,
    typer.Option(
        "--token-env",
        help="Environment variable with the token of commands; else SERVE_APP_ADMIN_TOKEN, else Ray's own token.",
    ),
]
TimeoutS = Annotated[float, typer.Option(min=0.001, help="Longest wait for one answer, in seconds.")]
