"""A link over Wi-Fi: MQTT 3.1.1 (kerbnode.link.mqttsession) with the broker that a string names.

    mqtt://10.0.0.2:1883/SITE          SITE: that of the identity if it is left out
    mqtts://broker.example/SITE        TLS; ?name= what the broker's certificate says, if not what stands here

A name is asked for by kerbnode.link.lookup: lwIP's own look-up may hang for ever. Files in the node's folder: wifi.json
{"ssid", "password"}, broker.json {"user", "password"}, and in DER broker-ca.der, client.der, client-key.der.
"""

import json

from kerbnode import flash
from kerbnode.link import radios
from kerbnode.link.mqttsession import Mqtt


def opened(hal, board, address, options, identity):
    """The link, connected. OSError says what to check where that is not to be had."""
    link = made(hal, board, address, options, identity)
    if not link.open():
        trouble = link.trouble
        link.close()
        raise OSError(trouble)
    return link


def made(hal, board, address, options, identity):
    """The link, with its radio off. OSError where what it needs to know is not there."""
    import socket

    import network

    folder = options["folder"]
    host, _, site = address.lstrip("/").partition("/")
    host, _, port = host.partition(":")
    secure = "tls" in options
    names = None
    if not host or host.strip("0123456789."):
        from kerbnode.link import lookup

        if not lookup.is_name(host):
            raise OSError("name the broker or give its address: kerb links --link mqtt://10.0.0.2/SITE")
        names = lookup.Lookup(host, hal, socket, folder)
    facts = {"host": host, "port": int(port or (8883 if secure else 1883)), "site": site or identity.site}
    facts["ssid"], facts["password"] = _secrets(folder, "/wifi.json", "ssid")
    if not facts["ssid"]:
        raise OSError("no network is known: kerb links --wifi FILE")
    facts["user"], facts["secret"] = _secrets(folder, "/broker.json", "user")
    tls = None
    if secure:
        from kerbnode.link import secure as securing

        tls = securing.wrapper(hal, folder, options.get("name", host))
    radio = network.WLAN(network.STA_IF)
    radios.switched_on(hal, "wifi", radio)
    return Mqtt(facts, identity.node, hal, network, radio, socket, tls, names)


def _secrets(folder, path, name):
    """(name, password) of a file of secrets; ("", "") without one."""
    data = flash.read(folder + path)
    if not data:
        return "", ""
    found = json.loads(data)
    return found[name], found.get("password", "")
