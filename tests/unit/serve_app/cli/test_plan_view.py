"""A plan as people read it."""

from support.release_world import release, serve_file

from serve_app.cli.plan_view import application_rows, model_rows, refusal, sentences
from serve_app.config.declared import read_declared
from serve_app.release.applications import Running, RunningApplication
from serve_app.release.overview import Overview
from serve_app.release.plan import Wanted, make_plan

CANARY = {
    "strategy": "canary",
    "steps": [{"percent": 5, "seconds": 30}, {"percent": 50}],
    "gates": [{"metric": "error_rate", "max": 0.1}],
    "automatic": False,
}
V1 = serve_file(
    {"digits": {"traffic": {"v1": 100}}, "old": {"traffic": {"v1": 100}}},
    [release("digits", "v1"), release("old", "v1")],
)


def plan(models, releases, retirements=(), **gateway_args):
    data = serve_file(models, releases, **gateway_args)
    apps = {app["name"]: RunningApplication(app["name"], app, "RUNNING") for app in V1["applications"]}
    traffic = {name: {"traffic": {"v1": 100}} for name in ("digits", "old")}
    overview = Overview.model_validate({"models": traffic, "retirements": list(retirements)})
    return make_plan(Wanted.of(data, read_declared(data)[0]), Running(apps), overview)


def test_applications_that_change_say_why():
    shown = plan({"digits": {"traffic": {"v2": 100}, "rollout": CANARY}}, [release("digits", "v2")], explain=True)
    assert list(application_rows(shown)) == [
        ("gateway", "built anew", "args.explain: not given -> true"),
        ("digits-v2", "added", ""),
        ("digits-v1", "retired", "not in the file; kept for 600 s after the traffic has moved"),
        ("old-v1", "retired", "not in the file; deleted after the traffic has moved"),
    ]
    assert "gateway: restarts the gateway: in-flight requests are drained" in list(sentences(shown))


def test_models_say_from_where_to_where_and_how():
    models = {
        "digits": {"traffic": {"v2": 100}, "labels": {"stable": "v2"}, "rollout": CANARY},
        "new": {"traffic": {"v1": 100}},
    }
    shown = plan(models, [release("digits", "v2"), release("new", "v1")])
    assert list(model_rows(shown)) == [
        ("digits", "v1:100%", "v2:100%  stable=v2", "canary, 5%/30s 50%/60s, 1 gate, promoted by hand"),
        ("new", "-", "v1:100%", "new"),
        ("old", "v1:100%", "-", "no longer served"),
    ]


def test_other_settings_and_what_is_kept_are_said():
    models = {"digits": {"traffic": {"v1": 100}, "sticky": {"header": "x"}}, "old": {"traffic": {"v1": 100}}}
    shown = plan(models, [release("digits", "v1"), release("old", "v1")], [{"release": "digits-v0", "in_s": 9}])
    assert list(model_rows(shown)) == [("digits", "v1:100%", "v1:100%", "other settings of the entry")]
    assert list(sentences(shown)) == [
        "digits-v0: retired already, kept for another 9 s",
        "3 applications unchanged",
    ]


def test_a_refusal_names_what_differs_and_what_to_do():
    shown = plan({"digits": {"traffic": {"v1": 100}}}, [release("digits", "v1", slo_ms=5)])
    assert refusal(shown) == (
        "the same version tag would be another thing: digits-v1 (args.slo_ms: not given -> 5); give it a new version, "
        "so that it can be compared and rolled back, or say --replace"
    )
    assert "digits-v1: its replicas restart as something else under the same version tag" in list(sentences(shown))
