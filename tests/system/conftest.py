"""Fixtures of the tests of the whole."""

from street_harness import street

__all__ = ["street"]
