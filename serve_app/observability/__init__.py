"""Metrics, request log lines and the cluster's scrape."""
