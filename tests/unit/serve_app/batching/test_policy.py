"""The fixed policy."""

from serve_app.batching.policy import FixedPolicy


def test_the_fixed_policy_always_allows_its_rows():
    policy = FixedPolicy(32)
    policy.observe(rows=1, seconds=9.0)
    assert (policy.next_rows(), policy.max_rows) == (32, 32)
