"""`network` of an emulated board: Wi-Fi as a station, with the port's own states. The air is the host's."""

import os

import kerb_rpc
from kerb_rpc import call, fetch

_RP2 = os.getenv("KERB_PORT") == "rp2"
_UNIQUE = os.getenv("KERB_UNIQUE_ID") or "0000000000"
STA_IF = 0
AP_IF = 1
# In the order of radio.State: off, idle, connecting, address, no access point, wrong password, beacons lost.
if _RP2:
    STAT_IDLE, STAT_CONNECTING, STAT_GOT_IP = 0, 1, 3
    STAT_CONNECT_FAIL, STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD = -1, -2, -3
    _STATES = (0, 0, 1, 3, -2, -3, 0)
else:
    STAT_IDLE, STAT_CONNECTING, STAT_GOT_IP = 1000, 1001, 1010
    STAT_BEACON_TIMEOUT, STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD = 200, 201, 202
    STAT_ASSOC_FAIL = STAT_CONNECT_FAIL = 203
    STAT_HANDSHAKE_TIMEOUT = 204
    AUTH_OPEN, AUTH_WEP, AUTH_WPA_PSK, AUTH_WPA2_PSK, AUTH_WPA_WPA2_PSK = range(5)
    _STATES = (1000, 1000, 1001, 1010, 201, 202, 200)

_country = "XX"
_hostname = "PicoW" if _RP2 else "mpy-esp32"


def country(code=None):
    global _country
    if code is None:
        return _country
    _country = code


def hostname(name=None):
    global _hostname
    if name is None:
        return _hostname
    _hostname = name


class WLAN:
    IF_STA = 0
    IF_AP = 1
    if _RP2:
        PM_NONE, PM_PERFORMANCE, PM_POWERSAVE = 16, 10555714, 17
        SEC_OPEN, SEC_WPA_WPA2, SEC_WPA3, SEC_WPA2_WPA3 = 0, 4194310, 16777220, 20971524
    else:
        PM_NONE, PM_PERFORMANCE, PM_POWERSAVE = range(3)
        SEC_OPEN, SEC_WEP, SEC_WPA, SEC_WPA2, SEC_WPA_WPA2, SEC_WPA2_ENT, SEC_WPA3, SEC_WPA2_WPA3 = range(8)

    def __init__(self, interface=STA_IF):
        if interface != STA_IF:
            raise ValueError("the emulated board has no access point of its own")
        self._settings = {"pm": self.PM_PERFORMANCE, "reconnects": -1, "txpower": 20}
        self._address = None
        self._name = ""

    def active(self, on=None):
        if on is None:
            return bool(call(kerb_rpc.WIFI_ACTIVE, -1)[0])
        call(kerb_rpc.WIFI_ACTIVE, 1 if on else 0)
        return None if _RP2 else bool(on)

    if _RP2:

        def deinit(self):
            call(kerb_rpc.WIFI_ACTIVE, 2)

    def connect(self, ssid=None, key=None, *, bssid=None, security=-1):
        if not _RP2 and not self.active():
            raise OSError("Wifi Not Started")
        self._name = ssid
        call(kerb_rpc.WIFI_CONNECT, 0, 0, ssid.encode() + b"\x00" + (key or "").encode())

    def disconnect(self):
        call(kerb_rpc.WIFI_DISCONNECT)

    def isconnected(self):
        return call(kerb_rpc.WIFI_STATUS)[0] == 3

    def status(self, name=None):
        state, rssi = call(kerb_rpc.WIFI_STATUS)
        if name is None:
            return _STATES[state]
        if name == "rssi":
            return rssi
        raise ValueError("unknown status param")

    def scan(self):
        found = []
        for line in fetch(kerb_rpc.WIFI_SCAN).decode().split("\n"):
            if line:
                ssid, bssid, channel, rssi, security = line.split("\t")
                security = int(security)
                found.append(
                    (ssid.encode(), bytes.fromhex(bssid), int(channel), int(rssi), (5 if _RP2 else 3) * security, False)
                )
        return found

    def ifconfig(self, settings=None):
        if settings is not None:
            self._address = settings
        elif not self.isconnected():
            return ("0.0.0.0",) * 4
        return self._address or ("192.168.4.2", "255.255.255.0", "192.168.4.1", "192.168.4.1")

    def ipconfig(self, name=None, **settings):
        if name == "addr4":
            return self.ifconfig()[:2]
        if name == "gw4":
            return self.ifconfig()[2]
        if name == "has_dhcp4":
            return self.isconnected()
        if name is not None:
            raise ValueError("unexpected key")

    def config(self, name=None, **settings):
        if name is None:
            self._settings.update(settings)
        elif name == "mac":
            return b"\x02" + bytes.fromhex(_UNIQUE)[:5]
        elif name in ("ssid", "essid"):
            return self._name
        elif name == "hostname":
            return _hostname
        elif name in self._settings:
            return self._settings[name]
        else:
            raise ValueError("unknown config param")
