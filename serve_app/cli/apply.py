"""`serve-app apply`: bring what runs to what a serve file says, moving traffic only as its rollouts allow."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from serve_app.cli.apply_lock import ApplyLock, held
from serve_app.cli.apply_run import ApplyRun
from serve_app.cli.options import CLOCK, DEFAULT_DASHBOARD, Dashboard, TimeoutS, TokenEnv
from serve_app.cli.output import CommandError, errors_reported, say, say_table, stderr_console
from serve_app.cli.plan_view import APPLICATION_HEADERS, MODEL_HEADERS, application_rows, model_rows, sentences
from serve_app.cli.releases import Releases, admin_token
from serve_app.cli.rollout_view import Board
from serve_app.cli.serve_rest import ServeRest, dashboard, is_here
from serve_app.cli.server import Server
from serve_app.cli.validate import checks_of, good_file
from serve_app.cli.waiting import Watch
from serve_app.config.declared import ServeFile
from serve_app.config.located import read_document
from serve_app.config.serve_file import ExtraCheck
from serve_app.release.plan import Plan, Wanted

_STOPPED = 130  # as shells have it for Ctrl-C


def apply_command(extra_checks: Sequence[ExtraCheck]) -> Callable[..., None]:
    """Build the command; `extra_checks` are those that this layer cannot import."""

    def apply(  # noqa: PLR0913 - every option of a command is a parameter
        file: Annotated[Path, typer.Argument(help="A Ray Serve YAML file.")],
        *,
        url: Annotated[
            str | None, typer.Option(help="Where the gateway answers; by default as the file's http_options say.")
        ] = None,
        address: Dashboard = DEFAULT_DASHBOARD,
        token_env: TokenEnv = None,
        yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before the plan is carried out.")] = False,
        replace: Annotated[
            bool, typer.Option("--replace", help="Let a version tag become another thing; its replicas restart.")
        ] = False,
        timeout_s: TimeoutS = 30.0,
    ) -> None:
        """Deploy a file beside what runs and move traffic as its rollouts say; exits 1 if a rollout does not succeed.

        Shows the plan and asks first. Killed and run again, it goes on where it was.
        """
        with errors_reported():
            declared = good_file(file, artifact_checks(extra_checks))
            wanted = wanted_in(file, declared)
            place = url or place_of(declared)
            if url is None and is_here(place) and not is_here(address):
                raise CommandError(f"the dashboard is at {address}: say by --url where that cluster's gateway answers")
            with ExitStack() as closing:
                server = closing.enter_context(Server(place, timeout_s, admin_token(token_env, os.environ)))
                rest = ServeRest(closing.enter_context(dashboard(address, os.environ, timeout_s)))
                board = closing.enter_context(Board(stderr_console(), say))
                lock = ApplyLock(Releases(server))
                watch = Watch(rest, Releases(server), CLOCK, board, lock.check)
                code = applied(ApplyRun(wanted, watch, say), lock, lambda plan: _agreed(plan, yes), replace)
        raise typer.Exit(code)

    return apply


def artifact_checks(extra_checks: Sequence[ExtraCheck]) -> list[ExtraCheck]:
    """The checks of a file before it is applied."""
    return checks_of(extra_checks, artifacts=True)


def place_of(declared: ServeFile) -> str:
    """Where the gateway of a file answers."""
    host = str(declared.http_host)
    return f"http://{f'[{host}]' if ':' in host else host}:{declared.http_port}"


def wanted_in(file: Path, declared: ServeFile) -> Wanted:
    """What a file without faults asks for."""
    data = read_document(file).data
    if not isinstance(data, Mapping):
        raise CommandError(f"{file} has changed while it was read")
    return Wanted.of(data, declared)


def applied(run: ApplyRun, lock: ApplyLock, agreed: Callable[[Plan], bool], replace: bool) -> int:
    """The exit code of a run, from its plan to its end."""
    if not run.gateway_runs():
        return _applied_first(run, agreed)
    with held(lock, run.watch.clock, run.say):
        agreed_plan = _agreed_plan(run, agreed, replace)
        if agreed_plan is None:
            return 1
        if agreed_plan.is_empty:
            for sentence in sentences(agreed_plan):
                run.say(sentence)
            run.keep_wanted()
            run.confirm_unchanged()
            run.say("no change")
            return 0
        try:
            run.keep_wanted()
            return run.carry_out(agreed_plan)
        except KeyboardInterrupt:
            run.say("stopped; a rollout under way goes on, and the same command finishes what is left")
            return _STOPPED


def _applied_first(run: ApplyRun, agreed: Callable[[Plan], bool]) -> int:
    run.say("no gateway runs yet, so nobody can be asked for the right to apply: this must be the only run")
    plan = run.plan_first()
    if not agreed(plan):
        return 1
    try:
        return run.deploy_first(plan)
    except KeyboardInterrupt:
        run.say("stopped; what was deployed goes on starting, and the same command finishes what is left")
        return _STOPPED


def _agreed_plan(run: ApplyRun, agreed: Callable[[Plan], bool], replace: bool) -> Plan | None:
    """A plan that was agreed to and still holds, or an empty one; None if it was not agreed to.

    Whoever is asked may take hours, and by then a rollback may have moved the traffic that the plan would declare.
    """
    plan = run.plan()
    while not plan.is_empty:
        run.check(plan, replace)
        if not agreed(plan):
            return None
        latest = run.plan()
        if latest.does_as(plan):
            return latest
        run.say("what runs has changed since that plan was made; this is what is left to do")
        plan = latest
    return plan


def _agreed(plan: Plan, yes: bool) -> bool:
    """Show the plan and ask.

    Raises:
        CommandError: Nobody can be asked.
    """
    for headers, rows in ((APPLICATION_HEADERS, application_rows(plan)), (MODEL_HEADERS, model_rows(plan))):
        if shown := list(rows):
            say_table(headers, shown)
    for sentence in sentences(plan):
        say(sentence)
    if yes:
        return True
    if not sys.stdin.isatty():
        raise CommandError("nobody can be asked here whether to do this; say --yes")
    return typer.confirm("Apply this?")
