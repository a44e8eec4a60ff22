"""The one error of the wire.

    WireError          any bytes that are not exactly what the protocol writes, any value that it cannot carry

Every reader in this package returns a value, says "need more", or raises WireError: no bytes whatever make it raise
anything else. Branch on `code`, never on text.
"""

TRUNCATED = "truncated"  # the input ends inside an item
TRAILING = "trailing"  # bytes follow a complete item
NOT_CANONICAL = (
    "not canonical"  # the same meaning has a shorter or a sorted form: there is one way to write each message
)
UNSUPPORTED = "unsupported"  # a CBOR type, a version or a coder outside our subset
TOO_LONG = "too long"  # over a named cap
TOO_DEEP = "too deep"  # nested beyond the named cap
TYPE = "type"  # an item of another type than the field's
RANGE = "range"  # a value outside the field's range
UNRESOLVED = "unresolved"  # a short index and time, and nothing committed to resolve them from
UNSEALED = "unsealed"  # the tag does not match: another key, another number, or a changed bit


class WireError(Exception):
    """Refused input or an unwritable value.

    code: one of the names above, stable, for branching and counting.
    detail: where it happened, for people; never contains key material or payload bytes.
    """

    def __init__(self, code: str, detail: str = ""):
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return self.code + ": " + self.detail if self.detail else self.code
