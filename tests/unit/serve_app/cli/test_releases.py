"""The controller, as commands talk to it."""

import pytest

from serve_app.cli.output import CommandError
from serve_app.cli.releases import Clock, Outage, Releases, actor, admin_token
from serve_app.cli.server import Refused, Server, Unreachable
from serve_app.release.commands import Lock, Promote
from serve_app.release.records import Phase

ROLLOUT = {"id": "1", "phase": "paused", "from": {"traffic": {"v1": 100}}, "to": {"traffic": {"v2": 100}}}
COMMANDS = ("POST", "/admin/commands")


@pytest.fixture
def releases(server):
    with Server(server.url, 5, "secret") as client:
        yield Releases(client)


def test_a_command_is_its_json(server, releases):
    server.on(*COMMANDS, ROLLOUT)
    assert releases.start(Promote(model="digits", actor="ann")).phase is Phase.PAUSED
    assert server.asked == [(*COMMANDS, {"verb": "promote", "model": "digits", "force": False, "actor": "ann"})]


def test_a_lock_says_who_has_it(server, releases):
    server.on(*COMMANDS, {"acquired": False, "owner": "bob", "expires_in_s": 7.5})
    answer = releases.lock(Lock(owner="ann"))
    assert (answer.acquired, answer.owner, answer.expires_in_s) == (False, "bob", 7.5)


def test_a_refused_command_is_the_servers_sentence(server, releases):
    server.on(*COMMANDS, {"error": "digits has no rollout"}, status=409)
    with pytest.raises(Refused, match=r"digits has no rollout \(status 409\)"):
        releases.start(Promote(model="digits"))


def test_a_wrong_token_is_explained(server, releases):
    server.on(*COMMANDS, {"error": "a wrong token"}, status=401)
    with pytest.raises(CommandError, match=r"a wrong token .*; give the token by --token-env"):
        releases.start(Promote(model="digits"))


def test_an_older_server_has_no_controller(server, releases):
    with pytest.raises(CommandError, match="has no controller of releases"):
        releases.overview()
    server.on("GET", "/v2/releases", {"error": "away"}, status=503)
    with pytest.raises(CommandError, match="away"):
        releases.overview()


@pytest.mark.parametrize("document", [[], {"id": "1", "phase": "odd"}])
def test_odd_answers_are_errors(server, releases, document):
    server.on(*COMMANDS, document)
    server.on("GET", "/v2/releases", {"models": 1})
    with pytest.raises(CommandError, match="rollout is not one that this command can read"):
        releases.start(Promote(model="digits"))
    with pytest.raises(CommandError, match="lock is not one"):
        releases.lock(Lock(owner="ann"))
    with pytest.raises(CommandError, match="status of releases is not one"):
        releases.overview()


def test_an_experiment_is_asked_for_by_its_name(server, releases):
    document = {"name": "a b", "model": "digits", "control": "v1", "confidence": 0.9, "metrics": []}
    server.on("GET", "/v2/experiments/a%20b", document)
    told, report = releases.experiment("a b")
    assert (told, report.confidence) == (document, 0.9)


def test_the_token_is_of_the_named_variable_or_ours_or_rays():
    variables = {"MINE": "a", "SERVE_APP_ADMIN_TOKEN": "b", "RAY_AUTH_TOKEN": "c"}
    assert admin_token("MINE", variables) == "a"
    assert admin_token(None, variables) == "b"
    assert admin_token(None, {"RAY_AUTH_TOKEN": "c"}) == "c"
    with pytest.raises(CommandError, match="--token-env names NONE, which is not set"):
        admin_token("NONE", variables)


def test_the_line_feed_at_the_end_of_a_tokens_file_is_no_part_of_it():
    assert admin_token("MINE", {"MINE": "a\n"}) == "a"
    assert admin_token(None, {"SERVE_APP_ADMIN_TOKEN": "b\r\n"}) == "b"
    assert admin_token(None, {"SERVE_APP_ADMIN_TOKEN": "\n", "RAY_AUTH_TOKEN": "c"}) == "c"


def test_events_can_name_who_ran_a_command():
    Promote(model="digits", actor=actor())


class Time:
    def __init__(self):
        self.now = 0.0

    def clock(self):
        return Clock(lambda: self.now, self.sleep)

    def sleep(self, seconds):
        self.now += seconds


def test_a_server_that_comes_back_is_waited_for():
    time, answers = Time(), [Unreachable("no"), Refused("busy", 503, ""), "there"]

    def request():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert Outage(time.clock()).repeated(request) == "there"
    assert time.now == 2.0


def test_a_server_that_stays_away_ends_the_wait():
    time = Time()

    def request():
        raise Unreachable("nobody there")

    with pytest.raises(CommandError, match="nobody there; waited 5 s for it to come back"):
        Outage(time.clock(), 5).repeated(request)
    assert time.now == 5.0


def test_what_will_not_pass_is_raised_at_once():
    def request():
        raise Refused("never", 409, "")

    with pytest.raises(Refused):
        Outage(Time().clock()).repeated(request)
