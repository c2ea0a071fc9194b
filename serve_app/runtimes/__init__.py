"""Libraries that execute models, behind one small protocol."""
