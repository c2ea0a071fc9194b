"""Wire formats, to and from the core's types; translation and nothing else."""
