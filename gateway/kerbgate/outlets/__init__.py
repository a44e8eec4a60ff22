"""Outlets: council systems that documents are forwarded to, each opened from its settings.

mqtt://host:1883    MQTT 5, or 3.1.1 with a broker that speaks nothing newer; QoS 1
"""

from kerbgate.config import OutletSettings
from kerbgate.outlets.base import Link, Outlet
from kerbgate.outlets.mqtt import MqttOutlet, parse_address

__all__ = ["Link", "Outlet", "check_url", "open_outlet"]


def open_outlet(settings: OutletSettings, identifier: str) -> Outlet:
    """The outlet that settings name; OutletError for a URL or a credentials file that cannot be used.

    identifier: what this gateway calls itself there, the same after each restart.
    """
    check_url(settings.url)
    return MqttOutlet(settings, identifier)


def check_url(url: str) -> None:
    """OutletError for a URL that no outlet understands."""
    parse_address(url)
