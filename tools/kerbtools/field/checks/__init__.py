"""The table of checks, roots before symptoms: of two findings that are as grave the upper one is the likelier root.

A check looks at one thing and yields findings; it judges, and changes nothing.
"""

from kerbtools.field.checks import brokers, clock, files, gateway, host, lamps, links, nodes, store
from kerbtools.field.deadline import Row

CHECKS: tuple[Row, ...] = (
    Row("configuration", "the file, and settings that are not in force yet", files.configuration),
    Row("keys", "key files, credentials and the state folder: there, private, of the gateway's user", files.keys),
    Row("disk", "room for the store", host.disk),
    Row("memory", "room to work, and processes that were ended for want of it", host.memory),
    Row("temperature", "of the processor", host.temperature),
    Row("undervoltage", "the supply of a Raspberry Pi", host.undervoltage),
    Row("clock", "source, steps, and what nodes' own clocks and the board's say", clock.clock),
    Row("store", "whole, of this version, and with headroom", store.store, 8.0),
    Row("registry", "opens, and knows the nodes that the store knows", store.registry),
    Row("gateway", "runs, answers, takes frames", gateway.process),
    Row("version", "the running gateway beside what is installed", gateway.version),
    Row("serial", "ports: there, permitted, not taken", links.serial),
    Row("ble", "the Bluetooth adapter, where an inlet uses one", links.ble),
    Row("broker", "each broker: reached, answers, lets us in", brokers.reachable, 8.0),
    Row("tls", "certificates: chain, name, expiry", brokers.tls, 8.0),
    Row("topics", "what brokers let us read and write", brokers.topics, 8.0),
    Row("inlets", "links from nodes: open, and how much of what they hear is noise", links.inlets),
    Row("outlets", "council systems: documents that are refused, warnings", gateway.outlets),
    Row("queues", "what waits for each outlet, and since when", gateway.queues),
    Row("refused", "frames that were refused: replays, strangers, two nodes with one address", nodes.refused),
    Row("programs", "firmware and protocol of the nodes", nodes.programs),
    Row("boots", "nodes that start again and again", nodes.boots),
    Row("supply", "power cuts, dips, and feeders that a cabinet switches", lamps.supply),
    Row("columns", "lamps at the wrong column", lamps.columns),
    Row("nodes", "silent nodes, and what they report of themselves", nodes.alarms),
    Row("problems", "what else the gateway itself finds wrong", gateway.problems),
)
ORDER = {row.name: place for place, row in enumerate(CHECKS)}
