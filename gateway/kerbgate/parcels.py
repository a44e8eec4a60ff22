"""What goes out in one message: a document alone or a batch of them, compressed where the outlet asks for it.

A batch is one JSON object with its documents as they would have gone alone, oldest first. A gzip stream is published to
a topic that ends in /gzip, so that a receiver of any version of MQTT can tell.
"""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from kerbgate.changes import Told
from kerbgate.letters import Letter
from kerbgate.store.items import StoredReport

BATCH_SCHEMA = "kerbstone/batch/1"
GZIP_LEVEL = 6

Ident = tuple[int, ...]  # letters before reports, and each kind oldest first


@dataclass(slots=True)
class Item:
    """One document that is ready to go. ident: its place in the order; the same after a restart of the connection.

    row or letter: what it was made from. told: see Seen. done: acknowledged, and perhaps not yet settled.
    """

    ident: Ident
    site: str
    topic: str
    payload: bytes
    row: StoredReport | None = None
    told: Told | None = None
    letter: Letter | None = None
    urgent: bool = False
    done: bool = False


@dataclass(slots=True)
class Parcel:
    """One message."""

    topic: str
    payload: bytes
    items: Sequence[Item]


class Packer:
    """Makes the messages of one outlet. prefix: the first levels of its topics."""

    def __init__(self, prefix: str, batched: bool, compress: str):
        self._prefix = prefix
        self._batched = batched
        self._gzip = compress == "gzip"

    def pack(self, items: Sequence[Item]) -> Parcel:
        """One message of documents of one site."""
        first = items[0]
        if self._batched and not first.urgent:
            topic = f"{self._prefix}/{first.site}/batch"
            head = f'{{"schema":"{BATCH_SCHEMA}","site":"{first.site}","documents":['.encode()
            payload = head + b",".join([item.payload for item in items]) + b"]}"
        else:
            topic, payload = first.topic, first.payload
        if self._gzip:
            return Parcel(topic + "/gzip", gzip.compress(payload, GZIP_LEVEL, mtime=0), items)
        return Parcel(topic, payload, items)


def schema() -> dict[str, Any]:
    """The JSON Schema of a batch."""
    return json.loads(resources.files("kerbgate").joinpath("schemas/batch-1.json").read_text("utf-8"))
