import os
import sys

try:
    os.stat("/update.go")
except OSError:
    import kerbnode  # noqa: F401  the package, which knows its place

    path = sys.path[:]
    try:
        os.stat("/lib/kerbwire")  # a readable bundle, in two packages
    except OSError:
        sys.path[:] = [".frozen"]  # all is in the package: else each built-in module is first looked for on flash
    try:
        from kerbnode import app

        app.main()
    finally:
        sys.path[:] = path
else:  # boot.py could not finish: old and new modules lie side by side, and must not run
    print("note crash 0 UpdateError unfinished update: run kerb flash")
