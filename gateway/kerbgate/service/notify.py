"""Signs of life for the service manager: sd_notify(3), one datagram a message, over the socket that it names.

Without NOTIFY_SOCKET nothing is sent. A datagram that cannot go is counted and left: the next one says the same.
"""

import contextlib
import os
import socket
import time
from collections.abc import Mapping

MAX_STATUS = 200  # characters of the one line that `systemctl status` shows


class Notifier:
    """Speaks to the manager that started this process. watchdog_s: the longest pause that it bears, or None."""

    def __init__(self, address: str | None, watchdog_s: float | None = None):
        self.watchdog_s = watchdog_s
        self.sent = 0
        self.unsent = 0
        self._address = "\0" + address[1:] if address and address[0] == "@" else address  # @: an abstract socket
        self._socket: socket.socket | None = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Notifier":
        """As NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID say; other families of sockets are not spoken to."""
        address = environment.get("NOTIFY_SOCKET", "")
        if address[:1] not in ("/", "@") or len(os.fsencode(address)) > 107:
            return cls(None)
        usec, process = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
        ours = process in ("", str(os.getpid()))
        return cls(address, int(usec) / 1e6 if ours and usec.isdecimal() and 0 < int(usec) < 1 << 63 else None)

    def ready(self) -> None:
        self._send("READY=1")

    def reloading(self) -> None:
        """A reload begins; it ends with `ready`."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Feed the watchdog. To be called only while the whole of the work is known to be done (health.py)."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        self._send("STATUS=" + text.replace("\n", " ")[:MAX_STATUS])

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, text: str) -> None:
        if self._socket is None or self._address is None:
            return
        sent = False
        with contextlib.suppress(OSError):
            sent = self._socket.sendto(text.encode(), self._address) > 0
        self.sent += sent
        self.unsent += not sent
