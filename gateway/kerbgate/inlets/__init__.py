"""Inlets: links from nodes, each opened from one string.

serial:/dev/ttyACM0?baud=115200    a USB port, RS-485, or a radio modem; /dev/... alone means the same
ble:hci0                           nodes over Bluetooth Low Energy; ble: alone takes the first adapter
mqtt://host:1883/site              nodes on Wi-Fi or a cellular network, through a broker; mqtts: over TLS
lns:mqtt://host/APP?server=...     LoRaWAN nodes, through the network server that a council already runs
udp:0.0.0.0:5690                   cellular nodes behind a private network, a frame a datagram
lora:/dev/ttyACM0?sf=9             nodes on a LoRa channel, through a radio modem
replay:street.kcap                 what a capture holds, once more, on a bench
"""

from kerbgate.errors import InletError
from kerbgate.inlets import lns
from kerbgate.inlets.base import Counters, Inlet, LinkUrl, Route, Take, parse_url
from kerbgate.inlets.lora import LoraInlet
from kerbgate.inlets.mqtt import MqttInlet
from kerbgate.inlets.replay import ReplayInlet
from kerbgate.inlets.serial import SerialInlet
from kerbgate.inlets.udp import UdpInlet

__all__ = ["Counters", "Inlet", "Route", "Take", "open_inlet"]


def _ble(url: LinkUrl) -> Inlet:
    try:  # an extra, which most gateways have no adapter for
        from kerbgate.inlets.ble import BleInlet
    except ModuleNotFoundError as error:
        raise InletError(
            f"the inlet {url.text!r} needs the package {error.name!r}", "run: pip install 'kerbstone[ble]'"
        ) from error
    return BleInlet.from_url(url)


_SCHEMES = {
    "serial": SerialInlet.from_url,
    "ble": _ble,
    "mqtt": MqttInlet.from_url,
    "mqtts": MqttInlet.from_url,
    "lns": lns.from_url,
    "udp": UdpInlet.from_url,
    "lora": LoraInlet.from_url,
    "replay": ReplayInlet.from_url,
}


def open_inlet(url: str, *, silent: bool = False) -> Inlet:
    """The inlet that a string names; InletError for a scheme, an option or a value that is not understood.

    silent: it only listens.
    """
    parsed = parse_url(url)
    make = _SCHEMES.get(parsed.scheme)
    if make is None:
        raise InletError(f"the inlet {url!r} has no known scheme", "use one of " + ", ".join(f"{s}:" for s in _SCHEMES))
    inlet = make(parsed)
    if silent:
        inlet.silence()
    return inlet
