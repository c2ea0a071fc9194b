from dataclasses import replace

from support.bench_results import bench_results

from load_tests.plan import QUICK
from load_tests.tables import WorkloadTables

TABLES = WorkloadTables(bench_results(replace(QUICK, connections=(1, 64))), "digits", "other")


def test_throughput_is_the_median_with_its_range():
    table = TABLES.throughput()
    assert table.columns == ("server", "1 connection", "64 connections")
    assert table.rows == (
        ("serve-app", "250 (200 to 300)", "4,500 (4,000 to 5,000)"),
        ("other", "100", "1,000"),
    )


def test_ratios_are_over_the_baseline():
    assert TABLES.ratios().rows == (
        ("serve-app", "2.50 (2.00 to 3.00)", "4.50 (4.00 to 5.00)"),
        ("other", "1.00", "1.00"),
    )


def test_our_factors_are_those_at_many_connections():
    table = TABLES.our_factors()
    assert table.columns == ("server", "serve-app, 64 connections")
    assert table.rows == (("other", "4.50 (4.00 to 5.00)"),)


def test_latency_has_two_quantiles():
    assert TABLES.latency().rows[1] == ("other", "1.50 / 9.00", "1.50 / 9.00")


def test_cost_is_for_a_thousand_requests():
    assert TABLES.cost().rows == (
        ("serve-app", "0.200", "0.25", "100", "0"),
        ("other", "0.800", "1.00", "100", "0"),
    )


def test_goodput_marks_what_is_only_a_bound():
    assert TABLES.goodput().rows == (
        ("serve-app", "3,000", "4.00", "0.90", "3,300", "1.0", "6.0", "1.2"),
        ("other", ">= 750", "1.00", "-", "-", "-", "-", "-"),
    )


def test_a_baseline_that_was_not_measured_leaves_its_table_out():
    titles = [table.title for table in WorkloadTables(bench_results(), "digits", "nobody").all]
    assert not any("over those of" in title for title in titles)
    assert len(titles) == 5
