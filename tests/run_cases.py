"""Runs on MicroPython: every test function of a case module, each in a fresh folder named by KERB_TMP.

    micropython run_cases.py case_module folder

Prints one line "@case NAME ok" or "@case NAME failed" a function, a traceback after a failure.
"""

import os
import sys

module_name, folder = sys.argv[1], sys.argv[2]
module = __import__(module_name)
for name in sorted(dir(module)):
    if not name.startswith("test_"):
        continue
    fresh = folder + "/" + name
    os.mkdir(fresh)
    os.putenv("KERB_TMP", fresh)
    try:
        getattr(module, name)()
        print("\n@case", name, "ok")
    except Exception as error:
        print("\n@case", name, "failed")
        sys.print_exception(error)
