"""How many replicas a release needs, from the rows that its replicas executed, hold and could execute."""
