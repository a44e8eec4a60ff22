"""What a field engineer asks of a gateway, as plain data: nodes, one node's story, records as they come, queues, facts.

Each part reads the store through a connection of its own that cannot write, so that it works in a thread of the running
gateway, which answers on its control socket, and just as well in a tool beside a gateway that has stopped.
"""
