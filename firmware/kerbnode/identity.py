"""Who a node is: written by provisioning to /node/identity.cbor, never by the firmware.

CBOR map {1: address 1..65535, 2: master secret (16 bytes), 3: key epoch 0..3, 4: site}
"""

from kerbnode import flash
from kerbwire import cbor
from kerbwire.errors import WireError

SECRET_SIZE = 16


class IdentityError(Exception):
    """The node has no usable identity. hint: what to do next."""

    hint = "provision the node: kerb provision"


class Identity:
    __slots__ = ("node", "secret", "epoch", "site")

    def __init__(self, node, secret, epoch, site):
        self.node = node
        self.secret = secret
        self.epoch = epoch
        self.site = site

    # What NodeEnd asks; kerbwire.epochs.Epochs answers the same where two epochs are held.

    def secret_of(self, epoch):
        return self.secret if epoch == self.epoch else None

    def sealing(self):
        return self.epoch

    def opened(self, epoch):
        return False


def read(path):
    """The identity, or IdentityError. Error texts never hold its content."""
    data = flash.read(path)
    if data is None:
        raise IdentityError("no identity file")
    try:
        fields = cbor.decode(data)
    except WireError:
        raise IdentityError("damaged identity file")
    if not isinstance(fields, dict) or sorted(fields) != [1, 2, 3, 4]:
        raise IdentityError("identity file of another form")
    node, secret, epoch, site = fields[1], fields[2], fields[3], fields[4]
    if not isinstance(secret, bytes) or len(secret) != SECRET_SIZE or not isinstance(site, str):
        raise IdentityError("identity file of another form")
    if not (isinstance(node, int) and 1 <= node <= 65535 and isinstance(epoch, int) and 0 <= epoch <= 3):
        raise IdentityError("identity file with a number out of range")
    return Identity(node, secret, epoch, site)
