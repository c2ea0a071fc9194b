from support.bench_results import bench_results, target_round

from load_tests.plots import draw_all


def test_every_kind_of_figure_that_was_measured_is_drawn(tmp_path):
    plots = draw_all(bench_results(), tmp_path)
    assert [plot.file for plot in plots] == ["digits-latency.png", "digits-goodput.png", "digits-batches.png"]
    assert all((tmp_path / plot.file).read_bytes().startswith(b"\x89PNG") for plot in plots)
    assert {plot.workload for plot in plots} == {"digits"}


def test_what_was_not_measured_is_not_drawn(tmp_path):
    results = bench_results()
    results.rounds = [target_round(1, "serve-app", {1: 200.0})]
    assert [plot.file for plot in draw_all(results, tmp_path)] == ["digits-latency.png"]
