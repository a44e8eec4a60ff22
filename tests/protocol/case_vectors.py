"""Published vectors: AES, CCM, HKDF, OSCORE derivation, COSE_Encrypt0, CBOR, COBS, CRC. Sources stand in each file."""

import json
import os
import sys

from kerbwire import cbor, kdf, line, seal
from kerbwire.compat import aead
from kerbwire.errors import WireError


def rows(name):
    with open(os.getenv("KERB_VECTORS") + "/" + name + ".json") as file:
        found = json.load(file)["vectors"]
    assert found
    return found


def refused(reader, data):
    try:
        reader(data)
    except WireError:
        return True
    return False


def unhex(text):
    return bytes.fromhex(text)


def test_aes_128_blocks():
    if sys.implementation.name != "micropython":
        return  # CPython's AES comes from the cryptography package, which has these rows in its own tests
    from kerbwire.compat import block_ciphers

    for row in rows("aes128_ecb"):
        ecb, cbc = block_ciphers(unhex(row["key"]))
        for cipher in (ecb, ecb, cbc, cbc):  # a chain begins anew with each call
            blocks = bytearray(unhex(row["pt"]))
            assert cipher(blocks)[:16] == unhex(row["ct"])[:16], row["id"]
        assert ecb(bytearray(unhex(row["pt"]))) == unhex(row["ct"]), row["id"]


def test_aes_ccm_16_64_128():
    for row in rows("aes_ccm"):
        cipher = aead(unhex(row["key"]))
        nonce, aad, sealed = unhex(row["nonce"]), unhex(row["aad"]), unhex(row["ct_tag"])
        assert row["valid"]
        assert cipher.encrypt(nonce, unhex(row["pt"]), aad) == sealed, row["id"]
        assert cipher.decrypt(nonce, sealed, aad) == unhex(row["pt"]), row["id"]
        flipped = bytes((sealed[0] ^ 1,)) + sealed[1:]
        assert refused(lambda data, c=cipher, n=nonce, a=aad: c.decrypt(n, data, a), flipped), row["id"]


def test_hkdf_sha256():
    for row in rows("hkdf_sha256"):
        okm = kdf.hkdf_sha256(unhex(row["ikm"]), unhex(row["salt"]), unhex(row["info"]), row["len"])
        assert okm == unhex(row["okm"]), row["id"]
    for size in (0, 255 * 32 + 1):
        assert refused(lambda n: kdf.hkdf_sha256(b"s", b"", b"", n), size)


def test_oscore_key_derivation():
    for row in rows("oscore_rfc8613_key_derivation"):
        secret, salt = unhex(row["master_secret"]), unhex(row["master_salt"])
        context = None if row["id_context"] is None else unhex(row["id_context"])
        sender, recipient = unhex(row["sender_id"]), unhex(row["recipient_id"])
        assert kdf.oscore(secret, salt, sender, context, "Key", 16) == unhex(row["sender_key"]), row["id"]
        assert kdf.oscore(secret, salt, recipient, context, "Key", 16) == unhex(row["recipient_key"]), row["id"]
        iv = kdf.oscore(secret, salt, b"", context, "IV", 13)
        assert iv == unhex(row["common_iv"]), row["id"]
        assert seal.nonce(iv, sender, 0) == unhex(row["sender_nonce_piv0"]), row["id"]
        assert seal.nonce(iv, recipient, 0) == unhex(row["recipient_nonce_piv0"]), row["id"]


def test_oscore_messages():
    for row in rows("oscore_rfc8613_messages"):
        cipher = aead(unhex(row["key"]))
        nonce, aad = unhex(row["nonce"]), unhex(row["aad"])
        assert cipher.encrypt(nonce, unhex(row["plaintext"]), aad) == unhex(row["ciphertext"]), row["id"]
        assert cipher.decrypt(nonce, unhex(row["ciphertext"]), aad) == unhex(row["plaintext"]), row["id"]


def test_cose_encrypt0():
    for row in rows("cose_encrypt0"):
        cose = unhex(row["cose"])
        size = len(unhex(row["plaintext"])) + 8  # ciphertext and tag are the last item of the array
        cipher = aead(unhex(row["key"]))
        message = cipher.decrypt(unhex(row["nonce"]), cose[-size:], unhex(row["enc_structure"]))
        assert message == unhex(row["plaintext"]), row["id"]
        assert seal._AAD_START[:1] + b"\x68Encrypt0" == unhex(row["enc_structure"])[:10]


def test_cbor_appendix_a():
    inside = outside = 0
    for row in rows("cbor_rfc8949_appendix_a"):
        data = unhex(row["hex"])
        try:
            value = cbor.decode(data)
        except WireError:
            outside += 1
            assert not in_subset(data), row["id"]
            continue
        inside += 1
        assert in_subset(data), row["id"]
        assert cbor.encode(value) == data, row["id"]
        if "decoded" in row and not isinstance(value, (bytes, dict)):
            assert value == row["decoded"], row["id"]
    assert inside + outside == 82
    assert inside == 34, inside


def test_cbor_not_well_formed():
    for row in rows("cbor_rfc8949_not_well_formed"):
        assert refused(cbor.decode, unhex(row["hex"])), row["hex"]


def in_subset(data):
    """Judged by eye from appendix A: no float, tag, undefined, simple value, indefinite length, or text key."""
    major, low = data[0] >> 5, data[0] & 31
    if low == 31 or major == 6 or (major == 7 and low not in (20, 21, 22)):
        return False
    text = data.hex()
    if text.startswith(("a26161", "826161a1", "a56161")):
        return False
    return text not in ("83018202039f0405ff", "83019f0203ff820405", "826161bf61626163ff")


def test_cobs():
    for row in rows("cobs"):
        encoded = unhex(row["encoded"])
        if row["valid"]:
            assert line.cobs_encode(unhex(row["data"])) == encoded
            assert line.cobs_decode(encoded) == unhex(row["data"])
        else:
            assert refused(line.cobs_decode, encoded), row["encoded"]


def test_crc16():
    for row in rows("crc"):
        for data, crc in row["more"].items():
            assert line.crc16(unhex(data)) == int(crc, 16), data
