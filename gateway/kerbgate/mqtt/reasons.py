"""Reason codes of MQTT 5 (section 2.4) in words; those of 3.1.1's CONNACK as the same codes."""

REFUSED = 0x80  # codes from here on are refusals
NOT_AUTHORIZED = 0x87
NO_SUBSCRIBERS = 0x10  # acknowledged, but nobody has subscribed to this topic
MALFORMED_PACKET = 0x81
UNSUPPORTED_VERSION = 0x84
TOO_LARGE = 0x95
# Refusals that speak of the message itself, and not of who sends it or of how much (a plug-in of the broker that checks
# what it forwards answers with one of the first two): another message may be taken.
OF_THE_MESSAGE = frozenset((0x83, 0x99, 0x90, TOO_LARGE))

_WORDS = {
    0x00: "Success",
    0x04: "Disconnect with will message",
    0x10: "No matching subscribers",
    0x80: "Unspecified error",
    0x81: "Malformed packet",
    0x82: "Protocol error",
    0x83: "Implementation specific error",
    0x84: "Unsupported protocol version",
    0x85: "Client identifier not valid",
    0x86: "Bad user name or password",
    NOT_AUTHORIZED: "Not authorized",
    0x88: "Server unavailable",
    0x89: "Server busy",
    0x8A: "Banned",
    0x8B: "Server shutting down",
    0x8C: "Bad authentication method",
    0x8D: "Keep alive timeout",
    0x8E: "Session taken over",
    0x8F: "Topic filter invalid",
    0x90: "Topic name invalid",
    0x91: "Packet identifier in use",
    0x92: "Packet identifier not found",
    0x93: "Receive maximum exceeded",
    0x94: "Topic alias invalid",
    0x95: "Packet too large",
    0x96: "Message rate too high",
    0x97: "Quota exceeded",
    0x98: "Administrative action",
    0x99: "Payload format invalid",
    0x9A: "Retain not supported",
    0x9B: "QoS not supported",
    0x9C: "Use another server",
    0x9D: "Server moved",
    0x9E: "Shared subscriptions not supported",
    0x9F: "Connection rate exceeded",
    0xA0: "Maximum connect time",
    0xA1: "Subscription identifiers not supported",
    0xA2: "Wildcard subscriptions not supported",
}
_OF_CONNACK_311 = {1: UNSUPPORTED_VERSION, 2: 0x85, 3: 0x88, 4: 0x86, 5: NOT_AUTHORIZED}  # MQTT 3.1.1, section 3.2.2.3


def reason(code: int) -> str:
    """A reason code in words."""
    words = _WORDS.get(code)
    return f"{words} (0x{code:02x})" if words else f"reason 0x{code:02x}"


def of_connack(code: int) -> int:
    """The code of a CONNACK; one of 3.1.1, also where a broker that knows nothing newer answers MQTT 5 with it."""
    return _OF_CONNACK_311.get(code, code)
