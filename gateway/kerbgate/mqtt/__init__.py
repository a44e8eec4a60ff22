"""A small MQTT client: QoS 0 and 1, MQTT 5 and 3.1.1, bytes in and events out, one asyncio connection around it.

A gateway's throughput hangs on its client: one that reads a packet in three system calls, or takes a lock, a future
and a timer for each, costs more than opening, checking and storing what the packet holds. This one reads and writes
whole turns of the event loop, acknowledges when it is told to, and gives the reason code of every PUBACK.
"""

from kerbgate.mqtt.connection import LOST, Connection, Lost, NotTaken, Options, Refused, connect
from kerbgate.mqtt.packets import V5, V311, MqttError, Publish
from kerbgate.mqtt.reasons import (
    NO_SUBSCRIBERS,
    NOT_AUTHORIZED,
    OF_THE_MESSAGE,
    REFUSED,
    UNSUPPORTED_VERSION,
    reason,
)

__all__ = [
    "LOST",
    "NO_SUBSCRIBERS",
    "NOT_AUTHORIZED",
    "OF_THE_MESSAGE",
    "REFUSED",
    "UNSUPPORTED_VERSION",
    "V5",
    "V311",
    "Connection",
    "Lost",
    "MqttError",
    "NotTaken",
    "Options",
    "Publish",
    "Refused",
    "connect",
    "reason",
]
