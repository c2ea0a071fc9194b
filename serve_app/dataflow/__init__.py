"""What a release executes."""
