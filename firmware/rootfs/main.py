import gc
import os

gc.threshold(
    16384
)  # modules load into a heap that stays in one piece: else it is in crumbs when the exchange is loaded

try:
    os.stat("/update.go")
except OSError:
    import kerbnode.app

    kerbnode.app.main()
else:  # boot.py could not finish: old and new modules lie side by side, and must not run
    print("note crash 0 UpdateError unfinished update: run kerb flash")
