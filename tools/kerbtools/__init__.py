"""Kerbstone on the host: the `kerb` command, emulated boards, demo and benchmarks."""
