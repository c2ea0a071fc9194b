"""Schemas of every file an operator writes."""
