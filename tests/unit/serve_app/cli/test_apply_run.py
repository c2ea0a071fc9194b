"""Runs of apply against a small cluster: nothing moves but by rollouts, and a killed run is finished by the next."""

import copy
from contextlib import contextmanager, suppress

import pytest
from support.release_world import World, release, serve_file

from serve_app.cli.apply import applied
from serve_app.cli.apply_lock import ApplyLock
from serve_app.cli.apply_run import ApplyRun
from serve_app.cli.output import CommandError
from serve_app.cli.releases import Clock, Releases
from serve_app.cli.serve_rest import ServeRest
from serve_app.cli.server import Server
from serve_app.cli.waiting import NotReady, Watch
from serve_app.config.declared import read_declared
from serve_app.release.commands import Lock
from serve_app.release.plan import Wanted

CANARY = {"strategy": "canary", "steps": [{"percent": 5}, {"percent": 50}], "keep_for_s": 600}
V1 = serve_file({"digits": {"traffic": {"v1": 100}, "labels": {"stable": "v1"}}}, [release("digits", "v1")])
V2 = serve_file(
    {"digits": {"traffic": {"v2": 100}, "labels": {"stable": "v2"}, "rollout": CANARY}}, [release("digits", "v2")]
)


class Killed(BaseException):
    """The process is gone: nothing of it runs any more."""


class Board:
    def __init__(self):
        self.shown = []

    def show(self, lines, keys):
        self.shown += [line for group in lines.values() for line in group]


class Death:
    """Kills at the n-th change that goes out, before or after it is made; then everything fails."""

    def __init__(self, at=None, after=False):
        self.at, self.after, self.made = at, after, 0

    def around(self, change):
        if self.at is not None and self.made >= self.at:
            raise Killed
        if not self.after and self.at is not None and self.made + 1 == self.at:
            self.made += 1
            raise Killed
        answer = change()
        self.made += 1
        if self.at is not None and self.made == self.at:
            raise Killed
        return answer


class MortalRest(ServeRest):
    def __init__(self, server, death):
        super().__init__(server)
        self.death = death

    def deploy(self, config):
        self.death.around(lambda: super(MortalRest, self).deploy(config))


class MortalReleases(Releases):
    def __init__(self, server, death):
        super().__init__(server)
        self.death = death

    def send(self, command):
        return self.death.around(lambda: super(MortalReleases, self).send(command))


def wanted(data):
    return Wanted.of(data, read_declared(data)[0])


class StuckGateway(World):
    """Serve replaces the gateway's replicas and cannot start the next one; those before it answer on."""

    is_stuck = False

    def tick(self, _=0.5):
        super().tick()
        if self.is_stuck:
            self.applications["gateway"]["status"] = "DEPLOYING"

    @property
    def gateway_answers(self):
        return self.is_stuck or super().gateway_answers


@contextmanager
def runs_against(world, data, death=None):
    """A run of apply, its lock and what it says."""
    death = death or Death()
    clock = Clock(lambda: world.now, world.tick)
    with Server(world.dashboard_url, 5) as dashboard, Server(world.gateway_url, 5, world.token) as gateway:
        releases = MortalReleases(gateway, death)
        lock, said = ApplyLock(releases), []
        watch = Watch(MortalRest(dashboard, death), releases, clock, Board(), lock.check)
        yield ApplyRun(wanted(data), watch, said.append), lock, said


def apply(world, data, death=None, replace=False, agrees=True):
    with runs_against(world, data, death) as (run, lock, said):
        return applied(run, lock, lambda _: agrees, replace), said


def end_state(world):
    """What is left of a run, but for when."""
    configs = {name: app["config"] for name, app in world.applications.items()}
    statuses = {name: app["status"] for name, app in world.applications.items()}
    return configs, statuses, world.routings(), sorted(world.retirements)


@pytest.fixture
def world():
    with World().served() as world:
        yield world


@pytest.fixture
def serving_v1(world):
    assert apply(world, V1)[0] == 0
    world.puts.clear()
    return world


def test_the_first_deployment_is_the_file_as_it_is(world):
    code, said = apply(world, V1)
    assert code == 0
    assert world.puts == [["digits-v1", "gateway"]]
    assert said[-1] == "2 applications run"
    assert [app["config"] for app in world.applications.values()] == V1["applications"]


def test_a_first_deployment_that_fails_is_taken_back_and_can_be_tried_again(world):
    world.broken = {"digits-v1"}
    with pytest.raises(NotReady, match="digits-v1 is DEPLOY_FAILED: Traceback: it cannot load"):
        apply(world, V1)
    assert list(world.applications) == ["gateway"]
    world.broken.clear()
    assert apply(world, V1)[0] == 0
    assert {app["status"] for app in world.applications.values()} == {"RUNNING"}


def test_nothing_to_do_deploys_nothing(serving_v1):
    code, said = apply(serving_v1, V1)
    assert (code, said[-1]) == (0, "no change")
    assert (serving_v1.puts, serving_v1.commands) == ([], [])


def test_a_canary_moves_traffic_and_retires_the_old_version(serving_v1):
    code, said = apply(serving_v1, V2)
    assert code == 0
    assert serving_v1.jumps == []
    assert serving_v1.puts == [["digits-v1", "digits-v2", "gateway"]] * 2
    assert serving_v1.routings() == {"digits": {"traffic": {"v2": 100}, "labels": {"stable": "v2"}}}
    assert serving_v1.entries() == {
        "digits": V2["applications"][0]["deployments"][0]["user_config"]["models"]["digits"]
    }
    assert [command["verb"] for command in serving_v1.commands] == ["start", "retire"]
    assert serving_v1.commands[1]["after_s"] == 600
    assert "digits: canary succeeded" in said
    assert serving_v1.lock is None


def test_before_the_rollout_starts_the_new_version_has_no_traffic(serving_v1):
    staged = []
    start = serving_v1._start

    def noted(command):
        staged.append(copy.deepcopy(serving_v1.entries()["digits"]))
        return start(command)

    serving_v1._start = noted
    apply(serving_v1, V2)
    assert staged[0]["traffic"] == {"v1": 100, "v2": 0}
    assert staged[0]["labels"] == {"stable": "v1"}


def test_a_second_run_finds_nothing_to_do_while_the_old_version_is_kept(serving_v1):
    apply(serving_v1, V2)
    serving_v1.puts.clear()
    code, said = apply(serving_v1, V2)
    assert (code, said[-1], serving_v1.puts) == (0, "no change", [])
    assert any(line.startswith("digits-v1: retired already, kept for another") for line in said)


def test_a_release_that_the_file_has_again_is_not_deleted_even_if_nothing_else_changes(serving_v1):
    apply(serving_v1, V2)
    both = copy.deepcopy(V2)
    both["applications"].append(copy.deepcopy(V1["applications"][1]))
    assert "digits-v1" in serving_v1.retirements
    code, said = apply(serving_v1, both)
    assert (code, serving_v1.retirements) == (0, {})
    assert "digits-v1: in the file again, so kept" in said


def test_a_version_that_cannot_load_changes_nothing_and_can_be_tried_again(serving_v1):
    before = end_state(serving_v1)
    serving_v1.broken = {"digits-v2"}
    with pytest.raises(NotReady, match="digits-v2 is DEPLOY_FAILED"):
        apply(serving_v1, V2)
    assert end_state(serving_v1) == before
    assert (serving_v1.jumps, serving_v1.lock) == ([], None)
    serving_v1.broken.clear()
    assert apply(serving_v1, V2)[0] == 0
    assert serving_v1.routings()["digits"]["traffic"] == {"v2": 100}


def test_a_rolled_back_model_keeps_its_old_version_and_the_others_go_on(world):
    two = {"digits": {"traffic": {"v1": 100}}, "wine": {"traffic": {"v1": 100}}}
    apply(world, serve_file(two, [release("digits", "v1"), release("wine", "v1")]))
    world.regressing = {"digits"}
    after = {name: {"traffic": {"v2": 100}, "rollout": CANARY} for name in two}
    code, said = apply(world, serve_file(after, [release("digits", "v2"), release("wine", "v2")]))
    assert code == 1
    assert "digits: rolled back: error_rate is 0.2, over 0.01" in said
    assert "wine: canary succeeded" in said
    assert world.jumps == []
    assert world.routings()["digits"]["traffic"] == {"v1": 100, "v2": 0}
    assert world.routings()["wine"]["traffic"] == {"v2": 100}
    assert sorted(world.retirements) == ["wine-v1"]


def test_a_paused_rollout_is_waited_for(serving_v1):
    serving_v1.manual = {"digits"}
    with runs_against(serving_v1, V2) as (run, lock, _):
        board = run.watch.board

        def promoted(lines, keys):
            Board.show(board, lines, keys)
            if any("waits for `serve-app promote`" in line for line in board.shown):
                serving_v1.manual.clear()
                serving_v1.rollouts["digits"]["phase"] = "running"

        board.show = promoted
        assert applied(run, lock, lambda _: True, replace=False) == 0


def test_another_thing_under_the_same_tag_is_refused_unless_it_is_to_be_replaced(serving_v1):
    changed = copy.deepcopy(V1)
    changed["applications"][1]["args"]["source"] = "models/digits/other"
    with pytest.raises(
        CommandError, match=r"digits-v1 \(args.source: \"models/digits/v1\" -> \"models/digits/other\"\)"
    ):
        apply(serving_v1, changed)
    assert serving_v1.puts == []


def test_options_of_a_deployment_change_in_place(serving_v1):
    changed = copy.deepcopy(V1)
    changed["applications"][1]["deployments"] = [{"name": "digits", "num_replicas": 2}]
    serving_v1.jumps.clear()
    assert apply(serving_v1, changed)[0] == 0
    assert serving_v1.applications["digits-v1"]["config"]["deployments"] == [{"name": "digits", "num_replicas": 2}]


def test_who_does_not_agree_changes_nothing(serving_v1):
    assert apply(serving_v1, V2, agrees=False)[0] == 1
    assert (serving_v1.puts, serving_v1.lock) == ([], None)


def test_who_is_asked_while_traffic_moves_is_asked_again_about_what_is_left(serving_v1):
    """A rollback that happened while somebody thought about a plan is not undone by it."""
    world = serving_v1
    to_v3 = serve_file({"digits": {"traffic": {"v3": 100}}}, [release("digits", "v3")])
    apply(world, V2)
    assert world.routings()["digits"]["traffic"] == {"v2": 100}
    plans = []

    def agreed(plan):
        plans.append(plan)
        if len(plans) == 1:
            world.command({"verb": "rollback", "model": "digits", "reason": "", "actor": "ann"})
        return True

    with runs_against(world, to_v3) as (run, lock, said):
        assert applied(run, lock, agreed, False) == 0
    assert [dict(plan.models[0].before.traffic) for plan in plans] == [{"v2": 100}, {"v1": 100, "v2": 0}]
    assert "what runs has changed since that plan was made; this is what is left to do" in said
    assert world.jumps == []


def test_a_gateway_whose_next_replica_does_not_start_still_has_its_traffic_moved_by_rollouts():
    with StuckGateway().served() as world:
        apply(world, V1)
        world.is_stuck = True
        world.tick()
        code, said = apply(world, V2)
    assert code == 0
    assert "digits: canary succeeded" in said
    assert world.jumps == []


@pytest.mark.parametrize("file", [V1, V2])
def test_who_is_stopped_by_ctrl_c_says_what_goes_on(world, file, monkeypatch):
    if file is V2:
        apply(world, V1)

    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(world, "tick", stopped)
        code, said = apply(world, file)
    assert (code, said[-1].partition(";")[0]) == (130, "stopped")
    assert world.lock is None
    assert apply(world, file)[0] == 0


def test_what_is_not_ours_is_left_alone_and_said(world):
    theirs = {"name": "whisper", "route_prefix": "/whisper", "import_path": "whisper.app:build"}
    world.deploy({"applications": [theirs]})
    for file in (V1, V2, V2):
        code, said = apply(world, file)
        assert code == 0
    assert theirs == world.applications["whisper"]["config"]
    assert "whisper: not in the file, and neither a gateway nor a release, so left alone" in said
    assert "whisper" not in world.retirements
    world.broken = {"digits-v3"}
    with pytest.raises(NotReady):
        apply(world, serve_file({"digits": {"traffic": {"v3": 100}}}, [release("digits", "v3")]))
    assert all("whisper" in names for names in world.puts)


def test_a_first_deployment_that_fails_leaves_alone_what_is_not_ours(world):
    theirs = {"name": "whisper", "route_prefix": "/whisper", "import_path": "whisper.app:build"}
    world.deploy({"applications": [theirs]})
    world.broken = {"digits-v1"}
    with pytest.raises(NotReady):
        apply(world, V1)
    assert list(world.applications) == ["whisper", "gateway"]


def test_somebody_elses_run_is_not_disturbed(serving_v1):
    with Server(serving_v1.gateway_url, 5) as server:
        other = Releases(server)
        tick = serving_v1.tick

        def ticked(_=0):
            tick()
            other.lock(Lock(owner="ann@desk:7", for_s=20))

        other.lock(Lock(owner="ann@desk:7", for_s=20))
        serving_v1.tick = ticked
        with pytest.raises(CommandError, match="ann@desk:7 has the right to apply a file for 20 s and renews it"):
            apply(serving_v1, V2)
    assert serving_v1.puts == []


def test_the_gateway_may_be_away_for_a_while(serving_v1):
    tick, left = serving_v1.tick, [0]

    def ticked(_=0):
        left[0] += 1
        serving_v1.away = 3 < left[0] < 12
        tick()

    serving_v1.tick = ticked
    assert apply(serving_v1, V2)[0] == 0
    assert serving_v1.routings()["digits"]["traffic"] == {"v2": 100}


def changes_of_a_run(data, broken=(), regressing=()):
    """How many changes a whole run sends, and what it leaves."""
    with World().served() as world:
        apply(world, V1)
        world.broken, world.regressing = set(broken), set(regressing)
        death = Death()
        with suppress(NotReady):
            apply(world, data, death)
        return death.made, end_state(world)


GATEWAY_TOO = serve_file(
    {
        "digits": {"traffic": {"v1": 20, "v2": 80}, "labels": {"new": "v2"}, "rollout": CANARY},
        "wine": {"traffic": {"v1": 100}},
    },
    [release("digits", "v1"), release("digits", "v2"), release("wine", "v1")],
    explain=True,
)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("data", "broken", "regressing"),
    [(V2, (), ()), (GATEWAY_TOO, (), ()), (V2, ("digits-v2",), ())],
    ids=["canary", "gateway", "broken"],
)
def test_a_run_that_is_killed_at_any_change_is_finished_by_the_next(data, broken, regressing, after):
    changes, whole = changes_of_a_run(data, broken, regressing)
    assert changes >= 4
    for at in range(1, changes + 1):
        with World().served() as world:
            apply(world, V1)
            world.broken, world.regressing = set(broken), set(regressing)
            with pytest.raises(Killed):
                apply(world, data, Death(at, after))
            if broken:
                with pytest.raises(NotReady):
                    apply(world, data)
            else:
                assert apply(world, data)[0] == 0
            assert end_state(world) == whole, f"killed at change {at}"
            assert [jump for jump in world.jumps if "moved" in jump] == []


def test_a_first_deployment_that_is_killed_is_finished_by_the_next(world):
    with pytest.raises(Killed):
        apply(world, V1, Death(1, after=True))
    code, said = apply(world, V1)
    assert (code, said[-1]) == (0, "no change")
    assert {app["status"] for app in world.applications.values()} == {"RUNNING"}
