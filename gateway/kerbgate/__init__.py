"""The Kerbstone gateway: frames from nodes in, committed records, documents to council systems out.

    inlets -> intake -> store -> ack, and store -> forward -> outlets

`kerbgate.app.run` is the whole of it; `kerbgate.cli` has its verbs.
"""
