"""TLS of a link: the broker's certificate is checked against one authority, and its dates by the node's clock.

Frames are sealed whatever carries them: TLS keeps strangers off the broker, and hides who speaks when. A board's own
clock stands at 2000 or 2021 after power-up, before any certificate is valid: it is set first, to what the node knows,
and else to the day on which the certificate was put on the board (tls.json). So an expired certificate is noticed from
the first ack on, and the first exchange of a node's life works.
"""

import json
import time

from kerbnode import flash

AUTHORITY, CERTIFICATE, KEY = "/broker-ca.der", "/client.der", "/client-key.der"
SINCE = "/tls.json"  # {"since_utc": when the files were written}
EPOCH_2000_S = 946684800  # in Unix time


def wrapper(hal, folder, name):
    """wrap(socket), which does not wait: the handshake goes on with what is written. OSError, ValueError."""
    import tls

    authority = flash.read(folder + AUTHORITY)
    if not authority:
        raise OSError("no certificate of the broker's authority: kerb provision --authority FILE")
    known_s = getattr(hal, "utc_s", lambda: None)()  # the node's own clock
    _set_clock(hal.machine, max(known_s or 0, json.loads(flash.read(folder + SINCE) or b"{}").get("since_utc", 0)))
    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    context.verify_mode = tls.CERT_REQUIRED  # pyright: ignore[reportAttributeAccessIssue]  # the stubs lack it
    context.load_verify_locations(authority)
    certificate, key = flash.read(folder + CERTIFICATE), flash.read(folder + KEY)
    if certificate and key:
        context.load_cert_chain(certificate, key)
    return lambda socket: context.wrap_socket(socket, server_hostname=name, do_handshake_on_connect=False)


def _set_clock(machine, utc_s):
    """Set the board's own clock forward to Unix time."""
    own_s = utc_s - (EPOCH_2000_S if time.gmtime(0)[0] == 2000 else 0)
    if own_s > time.time():
        year, month, day, hour, minute, second, weekday = time.gmtime(own_s)[:7]
        machine.RTC().datetime((year, month, day, weekday, hour, minute, second, 0))
