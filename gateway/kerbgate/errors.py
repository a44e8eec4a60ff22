"""What can go wrong in the gateway, as one small tree. Each error says the cause in one sentence and what to do next.

    GatewayError
    +-- ConfigError        the configuration file: missing, unreadable, an unknown key, a value out of range
    +-- RegistryError      the node registry or its key file
    +-- StoreError         the store's file
    |   +-- StoreBusy      another process holds the store
    |   +-- StoreTooNew    a later version wrote it
    |   +-- StoreDamaged   SQLite calls it malformed
    +-- BrokerError        an MQTT broker's URL, credentials or certificates cannot be used
    +-- InletError         a link cannot be opened or was lost
    +-- OutletError        a council system cannot be reached or refused a document
    |   +-- DocumentRefused   it is this document that the council's side does not take
    |   +-- NotAllowed     this gateway's user may not write there
    +-- ControlError       the control socket: what it was asked is refused
    |   +-- NoAnswer       nobody answers on it, or not in JSON
    +-- AuditError         the audit log, or a key file beside it
    +-- ClockError         a clock source that cannot be read
    +-- ComparisonError    another system's readings, which are to be compared with ours, cannot be read

Branch on the type, never on the text. Frames from the air never raise any of these: they are refused and counted.
"""


class GatewayError(Exception):
    """A cause in one sentence, and `hint`: what to check or run next. Neither ever holds key material."""

    def __init__(self, cause: str, hint: str):
        super().__init__(cause)
        self.cause = cause
        self.hint = hint


class ConfigError(GatewayError):
    """The configuration cannot be used as it stands."""


class RegistryError(GatewayError):
    """The registry cannot be opened, or it refuses a change."""


class StoreError(GatewayError):
    """The store cannot be opened."""


class StoreBusy(StoreError):
    """Another process works on this store."""


class StoreTooNew(StoreError):
    """The store's schema is newer than this program."""


class StoreDamaged(StoreError):
    """The store's file is not what SQLite wrote."""


class BrokerError(GatewayError):
    """A broker's URL, credentials or certificates cannot be used."""


class InletError(GatewayError):
    """A link from nodes cannot be opened, or ended."""


class OutletError(GatewayError):
    """A council system cannot be reached, or refused what it was sent."""


class DocumentRefused(OutletError):
    """The council's side refused this very document for what it is, and said so; others may go."""


class NotAllowed(OutletError):
    """The council's side knows this gateway's user and does not let it write there."""


class ControlError(GatewayError):
    """The running gateway cannot be asked, or refuses."""


class NoAnswer(ControlError):
    """No gateway answers on the control socket."""


class AuditError(GatewayError):
    """The audit log, or a key file beside it, cannot be used."""


class ClockError(GatewayError):
    """The clock source cannot be read."""


class ComparisonError(GatewayError):
    """What ours are to be compared with cannot be read as it stands."""
