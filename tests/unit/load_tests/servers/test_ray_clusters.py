from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from load_tests.servers.ray_clusters import default_proxy_host, inline_host, serve_app_host
from load_tests.servers.ray_yaml import serve_app_beside_rivals
from load_tests.target import HostUnavailable

PRODUCTION = yaml.safe_load((Path(__file__).parents[4] / "configs/prod.yaml").read_text())


def offered(host) -> set[tuple[str, str]]:
    return {(offer.target.name, offer.target.workload) for offer in host.offers if "express" not in offer.target.name}


def test_ours_and_the_rivals_are_offered_for_both_workloads(workloads):
    both = {(name, load) for name in ("serve-app", "@serve.batch, HAProxy") for load in ("digits", "cnn")}
    no_op = {("no-op ingress", "digits")}
    no_wait = {("@serve.batch, HAProxy, no wait", load) for load in ("digits", "cnn")}
    assert offered(serve_app_host(workloads, quick=True)) == both | no_op
    assert offered(serve_app_host(workloads, quick=False)) == both | no_op | no_wait


def test_a_target_is_charged_for_its_own_applications_only(workloads):
    charged = {
        (offer.target.name, offer.target.workload): offer.target.applications
        for offer in serve_app_host(workloads, quick=False).offers
    }
    assert charged[("serve-app, express door", "cnn")] == charged[("serve-app", "cnn")] == ("gateway", "cnn-v1")
    assert charged[("@serve.batch, HAProxy, no wait", "digits")] == ("batch-digits-0",)
    assert charged[("no-op ingress", "digits")] == ("noop",)
    (theirs, _) = (offer.target.applications for offer in default_proxy_host(workloads).offers)
    assert theirs == ("batch-digits",)
    named = {one["name"] for one in serve_app_beside_rivals(PRODUCTION, workloads, quick=False)["applications"]}
    assert {name for names in charged.values() for name in names} == named


def test_only_the_express_door_may_be_missing(workloads):
    offers = serve_app_host(workloads, quick=False).offers
    optional = {(offer.target.name, offer.target.url) for offer in offers if offer.is_optional}
    assert optional == {
        ("serve-app, express door", f"http://127.0.0.1:8001/v2/models/{name}/infer") for name in ("digits", "cnn")
    }


def test_the_no_op_is_asked_like_the_others_and_may_answer_anything(workloads):
    (no_op,) = (o for o in serve_app_host(workloads, quick=True).offers if o.target.name == "no-op ingress")
    assert no_op.target.bodies == workloads[0].json_bodies()
    assert no_op.expected is None


def test_the_default_proxy_serves_both_workloads_on_a_port_of_its_own(workloads):
    urls = [offer.target.url for offer in default_proxy_host(workloads).offers]
    assert urls == ["http://127.0.0.1:8002/batch/digits", "http://127.0.0.1:8002/batch/cnn"]


def test_a_cluster_that_runs_already_is_not_joined(workloads, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with pytest.raises(HostUnavailable, match=r"a Ray cluster runs at 10\.0\.0\.1:6379 \(from RAY_ADDRESS\)"):
        default_proxy_host(workloads).prepare()


def test_a_release_inside_the_gateway_is_offered_at_both_doors_beside_itself_and_the_no_op(workloads):
    offers = {offer.target.name: offer.target.url for offer in inline_host(workloads[0]).offers}
    assert offers == {
        "no-op ingress": "http://127.0.0.1:8000/noop",
        "inline": "http://127.0.0.1:8000/v2/models/digits/versions/v1/infer",
        "inline, express door": "http://127.0.0.1:8001/v2/models/digits/versions/v1/infer",
        "apart": "http://127.0.0.1:8000/v2/models/digits/versions/apart/infer",
        "apart, express door": "http://127.0.0.1:8001/v2/models/digits/versions/apart/infer",
        "apart, by handle": "http://127.0.0.1:8000/v2/models/digits/versions/handle/infer",
        "apart, by handle, express door": "http://127.0.0.1:8001/v2/models/digits/versions/handle/infer",
    }
