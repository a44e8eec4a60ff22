"""The states of a node, and every legal change between them, in one table.

    pending      an address is reserved, a board is being written: nobody holds a secret yet
    stock        identity and secret are on a board; no asset
    bound        the same, at an asset
    quarantined  not trusted for now; its secret and its asset are kept
    returned     back at the depot; must be provisioned anew
    retired      never again; the row is kept so that its address is not given twice
    stolen       gone with its secret

Frames are heard in `stock` and `bound`, and refused and counted in all others.
"""

from kerbgate.errors import RegistryError

PENDING, STOCK, BOUND, QUARANTINED = "pending", "stock", "bound", "quarantined"
RETURNED, RETIRED, STOLEN = "returned", "retired", "stolen"
STATES = (PENDING, STOCK, BOUND, QUARANTINED, RETURNED, RETIRED, STOLEN)

HEARD = frozenset({STOCK, BOUND})  # their frames are opened
KEYED = frozenset({STOCK, BOUND, QUARANTINED})  # the registry holds their secret; leaving these removes it
PLACED = frozenset({BOUND, QUARANTINED})  # may be at an asset; leaving these ends the binding

PROVISION, BIND, UNBIND, QUARANTINE, READMIT = "provision", "bind", "unbind", "quarantine", "readmit"
RETURN, RETIRE, STEAL, FIND = "return", "retire", "steal", "find"

TRANSITIONS = {
    (PENDING, PROVISION): STOCK,
    (STOCK, PROVISION): STOCK,
    (BOUND, PROVISION): BOUND,
    (QUARANTINED, PROVISION): STOCK,  # with a new secret it is trusted again; an asset that it holds binds it again
    (RETURNED, PROVISION): STOCK,
    (STOCK, BIND): BOUND,
    (BOUND, BIND): BOUND,  # to another asset
    (BOUND, UNBIND): STOCK,
    (STOCK, QUARANTINE): QUARANTINED,
    (BOUND, QUARANTINE): QUARANTINED,
    (QUARANTINED, READMIT): STOCK,  # likewise
    (STOCK, RETURN): RETURNED,
    (BOUND, RETURN): RETURNED,
    (QUARANTINED, RETURN): RETURNED,
    (STOCK, RETIRE): RETIRED,
    (BOUND, RETIRE): RETIRED,
    (QUARANTINED, RETIRE): RETIRED,
    (RETURNED, RETIRE): RETIRED,
    (STOLEN, RETIRE): RETIRED,
    (STOCK, STEAL): STOLEN,
    (BOUND, STEAL): STOLEN,
    (QUARANTINED, STEAL): STOLEN,
    (RETURNED, STEAL): STOLEN,
    (STOLEN, FIND): RETURNED,
}

_WAY_OUT = {
    PENDING: "finish it: kerb provision",
    RETURNED: "give it a new identity: kerb provision",
    RETIRED: "a retired node stays retired: provision its board under another address",
    STOLEN: "if it was found, say so first: kerb registry mark {} find",
}


def after(address: int, state: str, event: str) -> str:
    """The state of node `address` after an event; RegistryError for a change that is not in the table."""
    try:
        return TRANSITIONS[state, event]
    except KeyError as error:
        known = sorted(event for start, event in TRANSITIONS if start == state)
        hint = _WAY_OUT.get(state, "what it can do: " + ", ".join(known)).format(address)
        raise RegistryError(f"node {address} is {state}: it cannot {event}", hint) from error
