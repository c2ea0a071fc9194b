"""Requests to blocks, blocks to batches, batches back to requests."""
