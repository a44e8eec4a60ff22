"""What a lamp does when it is asked to: the operations of a command, and its settings. Loaded when one comes."""

from kerbnode import orders
from kerbnode.lamp import settings as lampsettings
from kerbwire import controls


class LampOrders:
    """One message. node: kerbnode.lamp.node. order: of the session, when it came: the newest wins within a class."""

    def __init__(self, node, message, order):
        self._node = node
        self._message = message
        self._order = order

    def take(self, folder, slots, settings_of, waited_s):
        """The Result to send, or None. waited_s: since the message came."""
        do = {
            controls.DIM: self._dim,
            controls.RELEASE: self._release,
            controls.RESTART: self._restart,
            controls.IDENTIFY: self._identify,
            controls.SAMPLE: self._sample,
            controls.RESEND: self._resend,
            controls.SEND_LOG: lambda *what: orders.send_log(folder, self._node.talk.tell_once, *what),
        }
        taken = orders.Orders(folder, slots, settings_of, do, lampsettings.digest)
        return taken.take(self._message, self._node.clock.utc(), waited_s)

    def _dim(self, level, fade_s, hold_s):
        node, message = self._node, self._message
        until_s = node.clock.uptime() + hold_s
        if not node.lamp.command(message.priority, self._order, message.ident, level, until_s, fade_s):
            return controls.SUPERSEDED, None
        node.loop.changed()
        return controls.APPLIED, None

    def _release(self):
        if not self._node.lamp.holders.release(self._message.priority, self._order):
            return controls.SUPERSEDED, None
        self._node.loop.changed()
        return controls.APPLIED, None

    def _restart(self):
        self._node.restart()
        return controls.APPLIED, None

    def _identify(self, seconds):
        self._node.loop.blink_until_ms = self._node.clock.uptime_ms() + 1000 * seconds
        self._node.loop.changed()
        return controls.APPLIED, None

    def _sample(self):
        return controls.APPLIED, self._node.record()

    def _resend(self, first, count):
        node = self._node
        held = node.outbox.resend(first, count)
        node.outbox.save()
        node.talk.reports(1)
        return controls.APPLIED, held
