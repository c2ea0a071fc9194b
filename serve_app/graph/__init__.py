"""Graphs of nodes: declared, planned and executed on whole batches."""
