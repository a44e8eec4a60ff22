"""Kerbstone."""
