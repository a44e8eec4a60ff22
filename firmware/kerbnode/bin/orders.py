"""What a bin does when it is asked to: the operations of a command. Loaded when one comes."""

from kerbnode import orders
from kerbnode.bin.node import digest
from kerbwire import controls, messages


def obey(node, message, waited_s, slots, hal, board, journal, folder):
    """Act on a command or a configuration. The Result; None: it is obeyed already, or once the node has left the air
    (node.apart, kerbnode.bin.apart), and so is what comes behind that. node: a kerbnode.bin.node.Node in an
    exchange."""
    if node.apart:
        return None
    utc_s = node.clock.utc()
    do = _operations(node, hal, board, folder)
    done = orders.Orders(folder, slots, node.settings_of, do, digest).take(message, utc_s, waited_s)
    if node.apart:
        left_s = message.remaining - waited_s
        if utc_s is not None:
            left_s = min(left_s, message.expiry - utc_s)
        node.apart = (message.ident, message.operation, node.clock.uptime() + left_s)
    return done


def result(done):
    """The bytes of the result that kerbnode.bin.apart has kept."""
    return messages.encode_fields(controls.Result(*done))


def _operations(node, hal, board, folder):
    """Callables by operation, as kerbnode.orders takes them."""
    exchange = node.open_exchange()

    def restart():
        node.restarts = True
        return controls.APPLIED, None

    def apart():
        node.apart = True

    def resend(first, count):
        held = node.outbox.resend(first, count)
        node.outbox.save()
        exchange.reports(1)
        return controls.APPLIED, held

    return {
        controls.RESTART: restart,
        controls.SAMPLE: apart,
        controls.RESEND: resend,
        controls.IDENTIFY: lambda seconds: orders.blink(hal, board, seconds),
        controls.SELF_TEST: apart,
        controls.SEND_LOG: lambda *what: orders.send_log(folder, exchange.tell_once, *what),
    }
