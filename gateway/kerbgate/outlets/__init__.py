"""Outlets: council systems that documents are forwarded to, each opened from its settings.

mqtt://host:1883     MQTT 5, or 3.1.1 with a broker that speaks nothing newer; QoS 1
mqtts://host:8883    the same over TLS, with a client certificate if one is set
"""

from kerbgate import brokers
from kerbgate.config import OutletSettings
from kerbgate.errors import BrokerError
from kerbgate.outlets.base import Link, Outlet
from kerbgate.outlets.mqtt import MqttOutlet

__all__ = ["Link", "Outlet", "check_url", "open_outlet"]


def open_outlet(settings: OutletSettings, identifier: str) -> Outlet:
    """The outlet that settings name; BrokerError for a URL or a credentials file that cannot be used.

    identifier: what this gateway calls itself there, the same after each restart.
    """
    check_url(settings.url)
    return MqttOutlet(settings, identifier)


def check_url(url: str) -> None:
    """BrokerError for a URL that no outlet understands."""
    if brokers.parse_address(url).path:
        raise BrokerError(
            f"the outlet's URL {url} has a path", "write it as mqtt://host:1883; topics belong into prefix ="
        )
