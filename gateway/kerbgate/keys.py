"""Keys of the gateway: uplink keys kept in a bounded cache, downlinks sealed under this process's instance.

An instance is 8 random bytes drawn at start. Downlink numbers count up over all nodes together, so no (key, number)
pair can occur twice within an instance, whatever the caches drop.
"""

from collections import OrderedDict
from typing import Any

from kerbgate.registry import Node, Registry
from kerbwire import frame, messages, seal

MAX_KEYS = 20_000  # of each direction: a full district of 10,000 nodes, and as many in the middle of a new life


class UplinkKeys:
    """Keys that open frames of (node, epoch, life). A key enters the cache only once a frame under it was accepted."""

    def __init__(self, registry: Registry, capacity: int = MAX_KEYS):
        self._registry = registry
        self._capacity = capacity
        self._keys: OrderedDict[tuple[int, int, bytes], tuple[bytes, seal.Key]] = OrderedDict()
        self.derived = 0

    def get(self, node: Node, life: bytes) -> seal.Key:
        """The key, from the cache or by one derivation."""
        name = (node.address, node.epoch, life)
        cached = self._keys.get(name)
        if cached is not None and cached[0] == node.sealed:  # a node provisioned anew has another secret
            self._keys.move_to_end(name)
            return cached[1]
        self.derived += 1
        return seal.uplink_key(self._registry.secret(node), node.address, life)

    def keep(self, node: Node, life: bytes, key: seal.Key) -> None:
        """The store accepted a frame under this key: it is worth keeping."""
        name = (node.address, node.epoch, life)
        cached = self._keys.get(name)
        if cached is not None and cached[1] is key:
            return
        self._keys[name] = (node.sealed, key)
        if len(self._keys) > self._capacity:
            self._keys.popitem(last=False)


class Sealer:
    """Seals downlinks to nodes under one instance. The instance travels in the clear with each of them."""

    def __init__(self, registry: Registry, instance: bytes, capacity: int = MAX_KEYS):
        self._registry = registry
        self._instance = instance
        self._capacity = capacity
        self._keys: OrderedDict[tuple[int, bytes], tuple[bytes, seal.Key]] = OrderedDict()
        self._next_number = 0

    def seal(self, node: Node, life: bytes, message: Any) -> bytes:
        """A downlink frame to one life of a node."""
        return self.seal_bytes(node, life, messages.encode(message))

    def seal_bytes(self, node: Node, life: bytes, message: bytes) -> bytes:
        """The same of a message that is encoded already."""
        name = (node.address, life)
        cached = self._keys.get(name)
        if cached is not None and cached[0] == node.sealed:
            self._keys.move_to_end(name)
            key = cached[1]
        else:
            key = seal.downlink_key(self._registry.secret(node), life, self._instance)
            self._keys[name] = (node.sealed, key)
            if len(self._keys) > self._capacity:
                self._keys.popitem(last=False)
        number = self._next_number
        self._next_number += 1
        return key.seal(frame.DOWN, node.epoch, node.address, number, message, self._instance)
