from support.bench_results import bench_results

from load_tests.document import Table
from load_tests.host_noise import HostNoise
from load_tests.report import parts_of_report, write_report
from load_tests.results import Unavailable
from load_tests.servers import Limit


def test_the_report_is_four_kinds_of_files(tmp_path):
    write_report(bench_results(), "serve-app", tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    plots = {"digits-latency.png", "digits-goodput.png", "digits-batches.png"}
    assert names == {"results.json", "report.md", "index.html", *plots}
    said = (tmp_path / "out/report.md").read_text()
    assert "`python -m load_tests bench` on 2026-11-23: 2 cores (Xeon)" in said
    assert "![digits: batch size over time](digits-batches.png)" in said


def test_who_could_not_be_measured_is_told_with_the_reason_and_notes_come_last():
    results = bench_results()
    results.unavailable.append(Unavailable("TorchServe", "there is no Java"))
    results.limits.append(Limit("bare ONNX Runtime, batch 32", "digits", 2_537_800, 0.0004))
    results.left_out += ["a, cnn: goodput", "b, cnn: goodput", "a, cnn: goodput"]
    results.noise += [HostNoise(0.068, 79.2), HostNoise(0.0, 0.0)]
    results.notes.append("a quick run")
    parts = parts_of_report(results, "serve-app")
    tables = {part.title: part.rows for part in parts if isinstance(part, Table)}
    assert tables["Not measured"] == (("TorchServe", "there is no Java"),)
    assert tables["The runtime alone"] == (("bare ONNX Runtime, batch 32", "digits", "2,537,800", "0.0004"),)
    assert parts[-2].text.endswith("the time of this run was over: a, cnn: goodput (2 times); b, cnn: goodput.")
    assert parts[-1].text == "Note: a quick run"
    told = "below 0.4 of its usual speed: 6.8% of the time, at most 79 ms at a stretch; 0.0% of the time, at most 0 ms"
    assert told in parts[1].text


def test_an_empty_run_has_a_report_too(tmp_path):
    results = bench_results()
    results.rounds = []
    write_report(results, "serve-app", tmp_path)
    said = (tmp_path / "report.md").read_text()
    assert "by nothing" in said
    assert "usual speed: not measured" in said
