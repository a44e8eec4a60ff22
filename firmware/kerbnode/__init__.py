"""The node's firmware: MicroPython on boards, and importable on CPython (hardware is handed in)."""

__version__ = "0.1.0"
