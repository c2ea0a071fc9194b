"""Moving traffic between versions: statistics, gates, rollouts, their state and the one controller."""
