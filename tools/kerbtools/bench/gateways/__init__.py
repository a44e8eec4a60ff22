"""Gateways side by side: one load through ours and through those that a council would pick today."""
