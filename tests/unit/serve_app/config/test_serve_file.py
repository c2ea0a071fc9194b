"""Whole serve files: every fault with its line and words, through the function that the command line uses."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from deployments.ray_schema import ray_findings
from serve_app.config.serve_file import check_serve_file, read_serve_file

CONFIGS = Path(__file__).parents[4] / "configs"
GOOD = (Path(__file__).parents[4] / "tests/data/serve.yaml").read_text()


@dataclass(frozen=True)
class Bad:
    """An edit of tests/data/serve.yaml, each `(old, new)` applied once, and every fault it makes."""

    name: str
    edits: tuple[tuple[str, str], ...]
    faults: tuple[str, ...]


def bad(name, *edits_then_faults):
    edits = tuple(item for item in edits_then_faults if isinstance(item, tuple))
    return Bad(name, edits, tuple(item for item in edits_then_faults if isinstance(item, str)))


DIGITS_V2 = "- name: digits-v2\n  route_prefix: null\n"
ONGOING = "max_ongoing_requests: 4096"
LABELS = "labels: {stable: v1, canary: v2}"
DIGITS = "applications.0.deployments.0.user_config.models.digits"
TABLE = [
    bad(
        "an unknown key at the top",
        ("proxy_location:", "proxy_locations:"),
        "3: proxy_locations: unknown key; did you mean 'proxy_location'?",
    ),
    bad(
        "an unknown option of Ray's that Ray drops",
        (ONGOING, "num_replica: 2"),
        "20: applications.0.deployments.0.num_replica: unknown key; did you mean 'num_replicas'?",
    ),
    bad(
        "an unknown key three levels down in Ray's part",
        (ONGOING, "autoscaling_config: {max_replica: 4}"),
        "20: applications.0.deployments.0.autoscaling_config.max_replica: unknown key; did you mean 'max_replicas'?",
    ),
    bad(
        "an unknown key in a release's args",
        ("batching: {max_rows: 64}\n\n- name: digits-v2", "batchng: {max_rows: 64}\n\n- name: digits-v2"),
        "39: applications.1.args.batchng: unknown key; did you mean 'batching'?",
    ),
    bad(
        "an unknown key in the gateway's limits",
        ("timeout_s: 30", "timeout: 30"),
        "16: applications.0.args.limits.timeout: unknown key; did you mean 'timeout_s'?",
    ),
    bad(
        "an unknown key in the traffic table",
        ("labels: {stable: v1, canary: v2}", "label: {stable: v1}"),
        "26: applications.0.deployments.0.user_config.models.digits.label: unknown key; did you mean 'labels'?",
    ),
    bad(
        "weights that do not sum up to 100",
        ("{v1: 90, v2: 10}", "{v1: 90, v2: 20}"),
        "25: applications.0.deployments.0.user_config.models.digits.traffic: traffic weights sum up to 110, not to 100",
    ),
    bad(
        "traffic for a version without a release",
        ("{v1: 90, v2: 10}", "{v1: 90, v3: 10}"),
        "25: applications.0.deployments.0.user_config.models.digits.traffic.v3: "
        "version 'v3' of digits has no release in this file; there are: v1, v2",
    ),
    bad(
        "a label for a version without a release",
        ("canary: v2}", "canary: v9}"),
        "26: applications.0.deployments.0.user_config.models.digits.labels.canary: "
        "version 'v9' of digits has no release in this file; there are: v1, v2",
    ),
    bad(
        "a model without any release",
        ("        wine:\n", "        beer:\n"),
        "27: applications.0.deployments.0.user_config.models.beer: "
        "no application of this file is a release of model 'beer'",
    ),
    bad(
        "a default model that is not served",
        ("default_model: digits", "default_model: digit"),
        "21: applications.0.deployments.0.user_config: default_model 'digit' is not among models: digits, wine",
    ),
    bad(
        "a label that is a version tag",
        ("{stable: v1, canary: v2}", "{v1: v2}"),
        "24: applications.0.deployments.0.user_config.models.digits: "
        "'v1' is a label and a version tag; a name must be one of them",
    ),
    bad(
        "a version that YAML reads as a number",
        ("version: v2", "version: 2"),
        "46: applications.2.args.version: must be a valid string, not 2; put it in quotes",
    ),
    bad(
        "a release whose application has another name",
        ("- name: digits-v2", "- name: digits-2"),
        "41: applications.2.name: the release of model 'digits', version 'v2' must be named 'digits-v2', "
        "not 'digits-2'",
    ),
    bad(
        "a release that takes Ray's default route",
        (DIGITS_V2, "- name: digits-v2\n"),
        "41: applications.2.route_prefix: must be given as null: Ray's default is '/', the gateway's route",
    ),
    bad(
        "a release with a route",
        (DIGITS_V2, "- name: digits-v2\n  route_prefix: /digits\n"),
        '42: applications.2.route_prefix: must be null, not "/digits": only the gateway has a route',
    ),
    bad(
        "the same release twice",
        ("- name: digits-v2", "- name: digits-v1"),
        ("version: v2", "version: v1"),
        ("{v1: 90, v2: 10}", "{v1: 100}"),
        ("canary: v2}", "canary: v1}"),
        "41: applications.2.name: a second application named 'digits-v1'; a changed release is a new version",
    ),
    bad(
        "a gateway of another name",
        ("- name: gateway", "- name: front"),
        "12: applications.0.name: the gateway must be named 'gateway', not 'front'",
    ),
    bad(
        "a gateway on another route",
        ("route_prefix: /\n", "route_prefix: /api\n"),
        "13: applications.0.route_prefix: the gateway's route must be '/', not \"/api\"",
    ),
    bad(
        "no gateway",
        ("graphs.gateway:build", "mine.gateway:build"),
        "11: applications: no application has import_path graphs.gateway:build; exactly one is the gateway",
    ),
    bad(
        "a second gateway",
        (DIGITS_V2, "- {name: g2, route_prefix: /g2, import_path: graphs.gateway:build}\n" + DIGITS_V2),
        "41: applications.2.deployments: the deployment Gateway needs the traffic table as its user_config",
        "41: applications.2.import_path: a second gateway; 'gateway' is one, and there must be exactly one",
    ),
    bad(
        "a gateway without a traffic table",
        ("  - name: Gateway\n", "  - name: Gatway\n"),
        "18: applications.0.deployments: the deployment Gateway needs the traffic table as its user_config",
        "19: applications.0.deployments.0.name: gateway has no deployment 'Gatway'; it has: Gateway, Releases",
    ),
    bad(
        "options for a deployment that a release does not have",
        (
            "batching: {max_rows: 64}\n\n- name: wine",
            "batching: {max_rows: 64}\n  deployments: [{name: Model}]\n- name: wine",
        ),
        "51: applications.2.deployments.0.name: digits-v2 has no deployment 'Model'; its only one is 'digits'",
    ),
    bad(
        "a batch that one gateway could never fill",
        (ONGOING, "max_ongoing_requests: 20\n    num_replicas: 3"),
        "20: applications.0.deployments.0.max_ongoing_requests: 20 requests at a time in 3 replica(s) hold at most "
        "60 rows of one row each: a batch of wine-v1 (batching.max_rows 64) could never fill",
    ),
    bad(
        "a release that cannot take a block of every gateway replica",
        (ONGOING, "autoscaling_config: {max_replicas: 8}"),
        (
            "  args:\n    model: wine",
            "  deployments: [{name: wine, max_ongoing_requests: 4}]\n  args:\n    model: wine",
        ),
        "55: applications.3.deployments.0.max_ongoing_requests: 4 blocks of rows at a time, but up to 8 gateway "
        "replicas have one in flight each: wine-v1 could never take all of them",
    ),
    bad(
        "a queue shorter than a batch",
        (
            "batching: {max_rows: 64}\n\n- name: digits-v2",
            "batching: {max_rows: 64, max_queue_rows: 32}\n\n- name: digits-v2",
        ),
        "39: applications.1.args.batching: max_queue_rows 32 < max_rows 64: a batch could never fill",
    ),
    bad(
        "a host that others can reach",
        ("host: 127.0.0.1", "host: 0.0.0.0"),
        "9: http_options.host: 0.0.0.0 is reachable from other machines and there is no authentication yet; "
        "use 127.0.0.1",
    ),
    bad(
        "no host, where Ray takes all interfaces",
        ("host: 127.0.0.1, ", ""),
        "9: http_options.host: must be given: Ray's default is 0.0.0.0 and there is no authentication yet; "
        "use 127.0.0.1",
    ),
    bad(
        "a port that is no number",
        ("port: 8000", "port: http"),
        '9: http_options.port: must be a valid integer, not "http"',
    ),
    bad(
        "Ray's own rule on replicas",
        (ONGOING, "num_replicas: 2\n    autoscaling_config: {max_replicas: 4}"),
        "19: applications.0.deployments.0: Manually setting num_replicas is not allowed when autoscaling_config "
        "is provided.",
    ),
    bad(
        "a port that is none",
        ("port: 8000", "port: 99999"),
        "9: http_options.port: must be a port from 1 to 65535, not 99999",
    ),
    bad(
        "the dashboard's port",
        ("port: 8000", "port: 8265"),
        "9: http_options.port: the port 8265 is the Ray dashboard's already",
    ),
    bad(
        "user_config for a release with a key it does not know",
        (
            "batching: {max_rows: 64}\n\n- name: wine",
            "batching: {max_rows: 64}\n  deployments: [{name: digits, user_config: {a: 1}}]\n- name: wine",
        ),
        "51: applications.2.deployments.0.user_config.a: unknown key",
    ),
    bad(
        "an own application that names no builder of ours",
        (DIGITS_V2, "- {name: mine, route_prefix: /m, import_path: graphs.inferense:build}\n" + DIGITS_V2),
        "41: applications.2.import_path: must be graphs.gateway:build or graphs.inference:build in graphs, "
        'not "graphs.inferense:build"',
    ),
    bad(
        "truth as a percentage",
        ("{v1: 90, v2: 10}", "{v1: true, v2: 99}"),
        "25: applications.0.deployments.0.user_config.models.digits.traffic.v1: must be a number, not true",
    ),
    bad(
        "a version tag that YAML reads as a number",
        ("{v1: 90, v2: 10}", "{v1: 90,\n              1.0: 10}"),
        "26: applications.0.deployments.0.user_config.models.digits.traffic.1.0: "
        "the key must be a valid string, not 1.0; put it in quotes",
    ),
    bad(
        "a version tag that YAML reads as a date",
        ("{v1: 90, v2: 10}", "{v1: 90,\n              2024-06-01: 10}"),
        "26: applications.0.deployments.0.user_config.models.digits.traffic.2024-06-01: "
        'the key must be a valid string, not "2024-06-01"; put it in quotes',
    ),
    bad(
        "a value with a tag that it does not fit",
        ("port: 8000", "port: !!int ''"),
        "9: '' cannot be read as !!int",
    ),
    bad(
        "late options that are no mappings",
        (ONGOING, "gang_scheduling_config: x\n    autoscaling_config: [1]"),
        '20: applications.0.deployments.0.gang_scheduling_config: must be a mapping, not "x"',
        "21: applications.0.deployments.0.autoscaling_config: must be a mapping, not [1]",
    ),
    bad(
        "a missing source",
        ("    source: models/wine/v1\n", ""),
        "55: applications.3.args: either source or graph must be given, and not both",
    ),
    bad(
        "an accelerator that there is not",
        ("source: models/wine/v1\n    accelerator: auto", "source: models/wine/v1\n    accelerator: tpu"),
        "59: applications.3.args.accelerator: must be 'auto', 'cpu' or 'gpu', not \"tpu\"",
    ),
    bad(
        "an own application on the gateway's route",
        (DIGITS_V2, "- {name: mine, import_path: mine.app:build}\n" + DIGITS_V2),
        "41: applications.2.route_prefix: the route '/' is gateway's already",
    ),
    bad(
        "a key given twice",
        (
            "    slo_ms: 2000\n    batching: {max_rows: 64}\n\n- name: digits-v2",
            "    slo_ms: 1\n    slo_ms: 2\n\n- name: digits-v2",
        ),
        "39: applications.1.args.slo_ms: key 'slo_ms' is given twice, first on line 38",
    ),
    bad(
        "an inline version that is an application too",
        (LABELS, f"{LABELS}\n          inline: {{v1: {{source: s}}}}"),
        f"27: {DIGITS}.inline.v1: digits-v1 is an application of this file already; a version runs in one place",
    ),
    bad(
        "an inline version that wants a GPU, and an unknown key",
        (LABELS, "labels: {canary: v3}\n          inline:\n            v3: {source: s, accelerator: gpu, slo: 5}"),
        f"28: {DIGITS}.inline.v3.accelerator: gpu: inside the gateway a release runs on the CPU; make the release an "
        "application of its own",
        f"28: {DIGITS}.inline.v3.slo: unknown key; did you mean 'slo_ms'?",
    ),
    bad(
        "an inline version that nothing reaches",
        (LABELS, f"{LABELS}\n          inline: {{v3: {{source: s}}}}"),
        f"24: {DIGITS}: inline version 'v3' can be reached by nobody; give it traffic, if only 0",
    ),
    bad(
        "no YAML",
        ("labels: {stable: v1, canary: v2}", "labels: {stable: v1"),
        "27: not valid YAML: did not find expected ',' or '}'",
    ),
    bad(
        "an application that is no mapping",
        ("- name: wine-v1\n", "- wine\n- name: wine-v1\n"),
        "52: applications.3: must be a mapping",
    ),
    bad(
        "five faults of five kinds, all at once",
        ("proxy_location:", "proxy_locations:"),
        ("host: 127.0.0.1", "host: 0.0.0.0"),
        ("{v1: 90, v2: 10}", "{v1: 90, v3: 20}"),
        ("version: v2", "versoin: v2"),
        "3: proxy_locations: unknown key; did you mean 'proxy_location'?",
        "9: http_options.host: 0.0.0.0 is reachable from other machines and there is no authentication yet; "
        "use 127.0.0.1",
        "25: applications.0.deployments.0.user_config.models.digits.traffic: traffic weights sum up to 110, not to 100",
        "44: applications.2.args.version: required key is missing",
        "46: applications.2.args.versoin: unknown key; did you mean 'version'?",
    ),
]


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
def test_a_bad_file_gets_exactly_its_faults(case, tmp_path):
    text = GOOD
    for old, new in case.edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    faults = [str(fault) for fault in check_serve_file(file, [ray_findings])]
    assert faults == [f"{file}:{fault}" for fault in case.faults]


def test_the_table_is_long_enough_to_mean_something():
    assert len(TABLE) >= 15
    assert all(case.faults for case in TABLE)


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda file: file.name)
def test_every_example_is_good(file):
    assert check_serve_file(file, [ray_findings]) == []


def test_what_a_good_file_declares_is_typed():
    declared = read_serve_file(CONFIGS / "prod.yaml").declared
    (gateway,) = declared.gateways
    assert gateway.args.limits.max_request_rows == 4096
    assert gateway.traffic.models["digits"].traffic == {"v1": 90, "v2": 10}
    releases = ["digits-v1", "digits-v2", "wine-v1", "digits-ensemble-v1", "digits-cascade-v1"]
    assert [release.release for release in declared.releases] == releases
    assert declared.releases[2].args.source == "models/wine/v1"


def test_a_missing_file_is_a_fault_and_declares_nothing(tmp_path):
    checked = read_serve_file(tmp_path / "none.yaml")
    assert checked.declared is None
    assert [fault.message for fault in checked.faults] == ["cannot be read: No such file or directory"]


def test_a_list_is_no_serve_file(tmp_path):
    file = tmp_path / "list.yaml"
    file.write_text("- 1\n")
    assert [str(fault) for fault in check_serve_file(file)] == [
        f"{file}:1: the file must be a mapping with `applications`"
    ]


def test_an_extra_check_says_nothing_where_ours_has_spoken(tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text(GOOD.replace("host: 127.0.0.1", "host: 0.0.0.0"))
    said = [
        (("http_options", "host"), "theirs"),
        (("http_options", "port"), "theirs"),
        (("http_options", "port"), "too"),
    ]
    faults = check_serve_file(file, [lambda data: said])
    assert [(fault.path, fault.message[:6]) for fault in faults] == [
        ("http_options.host", "0.0.0."),
        ("http_options.port", "theirs"),
        ("http_options.port", "too"),
    ]
