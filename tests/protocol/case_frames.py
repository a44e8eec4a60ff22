"""The worked frames of PROTOCOL.md, to the last byte: derivation, nonce, header, message, seal."""

import json
import os

from kerbwire import cbor, frame, kdf, messages, seal
from kerbwire.columns import PLAIN
from kerbwire.messages import decode, encode


def rows():
    with open(os.getenv("KERB_VECTORS") + "/frames.json") as file:
        found = json.load(file)["vectors"]
    assert len(found) == 12
    for row in found:
        for name in row:
            if name not in ("name", "space", "node", "epoch", "seq"):
                row[name] = bytes.fromhex(row[name])
        row["up"] = row["space"] == "up"
    return found


def test_derivation():
    for row in rows():
        ident = seal.node_ident(row["node"]) if row["up"] else b""
        context = row["life"] + row["instance"]
        assert cbor.encode([ident, context, kdf.AES_CCM_16_64_128, "Key", 16]) == row["info_key"], row["name"]
        assert kdf.oscore(row["secret"], b"", ident, context, "Key", 16) == row["key"], row["name"]
        assert kdf.oscore(row["secret"], b"", b"", context, "IV", 13) == row["iv"], row["name"]
        assert seal.nonce(row["iv"], ident, row["seq"]) == row["nonce"], row["name"]


def test_seal_and_open():
    for row in rows():
        space = frame.UP if row["up"] else frame.DOWN
        if row["up"]:
            key = seal.uplink_key(row["secret"], row["node"], row["life"])
        else:
            key = seal.downlink_key(row["secret"], row["life"], row["instance"])
        sealed = key.seal(space, row["epoch"], row["node"], row["seq"], row["message"], row["context"])
        assert sealed == row["frame"], row["name"]
        header = frame.parse(row["frame"])
        assert row["frame"][: header.size] == row["header"]
        assert key.open(row["frame"], header) == row["message"]
        assert (header.space, header.epoch, header.node, header.seq) == (space, row["epoch"], row["node"], row["seq"])


def test_messages():
    for row in rows():
        message = decode(row["message"], frame.UP if row["up"] else frame.DOWN)
        assert not isinstance(message, messages.Unknown)
        assert encode(message, coder=PLAIN) == row["message"], row["name"]
