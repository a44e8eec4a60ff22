"""What a bin does when it is asked to: the operations of a command. Loaded when one comes."""

from kerbnode import orders
from kerbnode.orders import Orders
from kerbwire import controls

__all__ = ["Orders", "operations"]


def operations(node, hal, board, journal, folder):
    """Callables by operation, as kerbnode.orders takes them. node: a kerbnode.bin.node.Node in an exchange."""
    exchange = node.open_exchange()

    def restart():
        node.restarts = True
        return controls.APPLIED, None

    def sample():
        node.take(False, True)
        node.let_go_of_sampling()
        exchange.reports(1)
        return controls.APPLIED, node.counters.next_index - 1

    def resend(first, count):
        held = node.outbox.resend(first, count)
        node.outbox.save()
        exchange.reports(1)
        return controls.APPLIED, held

    def self_test():
        done = orders.self_test(hal, board, node.settings, journal, folder.rsplit("/", 1)[0])
        node.let_go_of_sampling()
        return done

    return {
        controls.RESTART: restart,
        controls.SAMPLE: sample,
        controls.RESEND: resend,
        controls.IDENTIFY: lambda seconds: orders.blink(hal, board, seconds),
        controls.SELF_TEST: self_test,
        controls.SEND_LOG: lambda *what: orders.send_log(folder, exchange.tell_once, *what),
    }
