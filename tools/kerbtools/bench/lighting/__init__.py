"""Adaptive lighting: a street of lamps that run the node's own control, people on it, energy and darkness counted."""
