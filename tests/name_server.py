"""A small name server on loopback, for nodes that look a name up: dnspython makes what it says."""

import socket
import threading
from collections.abc import Callable

import dns.flags
import dns.message
import dns.rcode
import dns.rrset


class NameServer:
    """records: text as in a zone, "NAME SECONDS IN A ADDRESS", by the name that is asked for; to be changed at any time.

    A name without records does not exist. mute: nobody answers. spoil: what is done to each answer's bytes; it may give
    several. asked: the names, in their order; sources: the ports that asked.
    """

    def __init__(self) -> None:
        self.records: dict[str, list[str]] = {}
        self.mute = False
        self.spoil: Callable[[bytes], list[bytes]] = lambda data: [data]
        self.asked: list[str] = []
        self.sources: set[int] = set()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name="name server", daemon=True)
        self._thread.start()

    def close(self) -> None:
        end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        end.sendto(b"", ("127.0.0.1", self.port))
        end.close()
        self._thread.join(10)
        self._socket.close()

    def _run(self) -> None:
        while True:
            data, place = self._socket.recvfrom(4096)
            if not data:
                return
            query = dns.message.from_wire(data)
            self.asked.append(query.question[0].name.to_text(omit_final_dot=True))
            self.sources.add(place[1])
            if self.mute:
                continue
            answer = dns.message.make_response(query, recursion_available=True)
            lines = self.records.get(self.asked[-1])
            if lines is None:
                answer.set_rcode(dns.rcode.NXDOMAIN)
            else:
                answer.answer = [dns.rrset.from_text(*line.split(" ", 4)) for line in lines]
            for each in self.spoil(answer.to_wire()):
                self._socket.sendto(each, place)
