"""What the tests of verbs for a connected board share."""

from kerbtools.emulator import Identity

SECRET = bytes.fromhex("00112233445566778899aabbccddeeff")
IDENTITY = Identity(node=417, secret=SECRET, epoch=1, site="depot")
