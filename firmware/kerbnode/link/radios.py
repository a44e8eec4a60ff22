"""The radios that a wake has switched on: before its sleep each is switched off, whatever became of its link.

A node that fell back from one link to another has two. On a Pico W one chip is Wi-Fi and Bluetooth at once, and keeps
drawing some 9 mA while neither is active (circuitpython#7050): only WLAN.deinit takes its supply away, Bluetooth's too.
"""


class Radios:
    """Called, it switches all of them off. At most one a kind is kept, so links that are opened again add nothing."""

    def __init__(self):
        self._off = {}

    def __call__(self):
        for kind in list(self._off):
            _try(self._off.pop(kind))
        try:
            import network
        except ImportError:  # no such chip on this board
            return
        deinit = getattr(network.WLAN, "deinit", None)
        if deinit:  # not on an ESP32, whose radio has no supply of its own
            _try(lambda: deinit(network.WLAN(network.STA_IF)))


def switched_on(hal, kind, off):
    """A radio of this kind is on. kind: wifi, ble or lora. off: the port's object, which has `active`, or what is
    called to switch it off, and may raise OSError. A function keeps its whole file in memory until the sleep."""
    if hal.radio_off is None:
        hal.radio_off = Radios()
    hal.radio_off._off[kind] = off


def switched_off(hal, kind):
    """That radio is off already, and needs nothing more."""
    if hal.radio_off is not None:
        hal.radio_off._off.pop(kind, None)


def _try(off):
    try:
        if callable(off):
            off()
        else:
            off.active(False)
    except OSError as error:  # the others, and the sleep, come whatever one radio does
        print("note radio", error)
