"""Modules come and go: on a board, what samples, what speaks and what listens share the heap."""

import gc
import sys

DRIVERS = "kerbnode.drivers."
SAMPLING = (  # modules, as files and as sources
    "kerbnode.sampling", "kerbnode.bin.sampling", "kerbnode.bin.wake", "kerbnode.bin.sensors", "kerbnode.selftest",
    DRIVERS,
)  # fmt: skip


def is_loaded(name):
    return name in sys.modules


def let_go(names, besides=""):
    """Let go of loaded modules whose names begin so; besides: one that stays. The heap is one piece after it."""
    if sys.implementation.name == "micropython":
        # A list of all of them would be half a kilobyte in one piece, when the heap is at its fullest.
        for module in [module for module in sys.modules if module.startswith(names) and module != besides]:
            parent, leaf = module.rsplit(".", 1)
            del sys.modules[module]
            if parent in sys.modules and hasattr(sys.modules[parent], leaf):
                delattr(sys.modules[parent], leaf)
    gc.collect()


def let_go_of_sampling(board):
    """Of all that only a sample takes."""
    thermometer = board["sensors"].get("temperature") or {}
    let_go(SAMPLING, DRIVERS + thermometer.get("driver", ""))  # that one all wakes have at hand
