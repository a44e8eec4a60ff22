"""The GATT service of a node, by which frames go over Bluetooth Low Energy as kerbwire.fragment cuts them.

    service   one, named in each advertisement
    up        notify: fragments from the node
    down      write, with and without response: first one byte that says who listens, then fragments to the node

A node notifies nothing before it was told who listens, since MicroPython does not tell it of a subscription. Who writes
that byte proves nothing by it: all that it earns are sealed frames.
"""

from kerbwire.line import crc16

SERVICE = "c1f50001-7a3e-4d0b-9b6c-6b6572620001"
UP = "c1f50002-7a3e-4d0b-9b6c-6b6572620001"
DOWN = "c1f50003-7a3e-4d0b-9b6c-6b6572620001"

GATEWAY = 1  # it answers
ROUND = 2  # a technician's laptop: it keeps what it hears for the gateway, and answers nothing

MTU = 247  # with which a full frame goes in one notification
NAME_SIZE = 8


def name(node: int, site: str) -> str:
    """The name that a node advertises: its address and a tag of its site, four hexadecimal digits each."""
    return "%04x%04x" % (node, crc16(site.encode()))


def named(text: "str | None") -> "tuple[int, int] | None":
    """(address, tag of the site) out of a name; None: no node's. Anyone can advertise any name."""
    if not text or len(text) != NAME_SIZE:
        return None
    for char in text:
        if char not in "0123456789abcdef":
            return None
    return int(text[:4], 16), int(text[4:], 16)


def tag(site: str) -> int:
    """What a name says of a site."""
    return crc16(site.encode())


def advertisement(node: int, site: str) -> bytes:
    """31 bytes, all that there are: flags, the service, the name (Core Specification Supplement, part A, section 1)."""
    uuid = bytes.fromhex(SERVICE.replace("-", ""))
    reverse = bytes([uuid[at] for at in range(15, -1, -1)])
    return b"\x02\x01\x06\x11\x07" + reverse + b"\x09\x09" + name(node, site).encode()
