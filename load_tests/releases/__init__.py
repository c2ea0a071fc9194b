"""Releases on a real server under load: what becomes of every request while versions come, go, fail and are killed."""
