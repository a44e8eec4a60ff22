"""`bluetooth` of an emulated board, as a peripheral: the radio is the host's, and its events come as interrupts.

What is there is what both ports have in common and a node needs: one advertisement, GATT services, notifications.
Central role, pairing, L2CAP and reading or writing a peer are not emulated.
"""

import json

import kerb_irq
from kerb_rpc import BLE as _OP
from kerb_rpc import call, fetch

FLAG_READ, FLAG_WRITE_NO_RESPONSE, FLAG_WRITE, FLAG_NOTIFY, FLAG_INDICATE = 2, 4, 8, 16, 32
_KIND = 3
# Sub-operations, and the events of the ports by their own numbers: the same in kerbtools/emulator/ble_radio.py.
_ACTIVE, _MTU, _REGISTER, _ADVERTISE, _NOTIFY, _DISCONNECT, _READ, _VALUE, _ROOM, _EVENT = range(10)
_IRQ_CENTRAL_CONNECT, _IRQ_CENTRAL_DISCONNECT, _IRQ_GATTS_WRITE, _IRQ_MTU_EXCHANGED = 1, 2, 3, 21


class UUID:
    def __init__(self, value):
        if isinstance(value, int):
            value = "%04x" % value
        elif not isinstance(value, str):
            value = bytes(reversed(value)).hex()
        self._text = value.replace("-", "").lower()
        if len(self._text) not in (4, 8, 32):
            raise ValueError("invalid UUID")

    def __repr__(self):
        return "UUID('%s')" % self._text

    def __eq__(self, other):
        return isinstance(other, UUID) and self._text == other._text

    def __hash__(self):
        return hash(self._text)

    def __len__(self):
        return len(self._text) // 2

    def __iter__(self):
        data = bytes.fromhex(self._text)
        return iter([data[at] for at in range(len(data) - 1, -1, -1)])


class BLE:
    _one = None

    def __new__(cls):
        if cls._one is None:
            cls._one = object.__new__(cls)
            cls._one._handler = None
        return cls._one

    def active(self, on=None):
        if on is not None:
            call(_OP, _ACTIVE, 1 if on else 0)
            kerb_irq.set_handler(_KIND, 0, self._attend if on else None)
        return bool(call(_OP, _ACTIVE, -1)[0])

    def config(self, name=None, **settings):
        if name is None:
            if "mtu" in settings:
                self._on()
                call(_OP, _MTU, settings["mtu"])
            return None
        if name == "mac":
            return 0, fetch(_OP, _MTU, -1)
        if name == "mtu":
            return call(_OP, _MTU, 0)[0]
        raise ValueError("unknown config param")

    def irq(self, handler):
        self._handler = handler

    def gap_advertise(self, interval_us, adv_data=None, *, resp_data=None, connectable=True):
        self._on()
        if interval_us is None:
            call(_OP, _ADVERTISE, 0)
            return
        if adv_data is not None and len(adv_data) > 31:
            raise OSError(22)
        call(_OP, _ADVERTISE, max(1, interval_us), b"" if adv_data is None else bytes(adv_data))

    def gatts_register_services(self, services):
        self._on()
        asked = [[service[0]._text, [[item[0]._text, item[1]] for item in service[1]]] for service in services]
        found = json.loads(fetch(_OP, _REGISTER, 0, json.dumps(asked).encode()))
        return tuple([tuple(handles) for handles in found])

    def gatts_notify(self, connection, handle, data=None):
        self._on()
        call(_OP, _NOTIFY, connection << 16 | handle, self.gatts_read(handle) if data is None else bytes(data))

    def gatts_read(self, handle):
        self._on()
        return fetch(_OP, _READ, handle)

    def gatts_write(self, handle, data, send_update=False):
        self._on()
        call(_OP, _VALUE, handle, bytes(data))

    def gatts_set_buffer(self, handle, size, append=False):
        self._on()
        call(_OP, _ROOM, handle | size << 16)

    def gap_disconnect(self, connection):
        self._on()
        return bool(call(_OP, _DISCONNECT, connection)[0])

    def _on(self):
        if not call(_OP, _ACTIVE, -1)[0]:
            raise OSError(19)

    def _attend(self):
        while True:
            data = fetch(_OP, _EVENT)
            if not data:
                return
            if self._handler is None:
                continue
            event, connection = data[0], data[1]
            number = int.from_bytes(data[2:4], "little")
            if event in (_IRQ_CENTRAL_CONNECT, _IRQ_CENTRAL_DISCONNECT):
                self._handler(event, (connection, number, data[4:]))
            else:
                self._handler(event, (connection, number))
