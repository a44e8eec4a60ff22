"""The Kerbstone protocol: bytes in, messages out, on MicroPython and CPython alike. See PROTOCOL.md."""

__version__ = "0.1.0"
