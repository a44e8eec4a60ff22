# Finishes an update that lies ready in /update, before anything of /lib is imported: firmware/UPDATE.md.
import os


def _finish():
    import micropython

    micropython.kbd_intr(-1)  # a Ctrl-C in between would leave old and new modules side by side
    try:
        with open("/update.go") as file:
            steps = file.read().split("\n")
        if steps.pop(0) != "kerb-update 1":
            raise ValueError("/update.go has another form")
        for step in steps:
            if step[:2] == "> ":
                _, name, path = step.split(" ")
                _step(_move, "/update/" + name, path)
            elif step[:2] == "- ":
                _step(os.remove, step[2:])
        os.remove("/update.go")
    finally:
        micropython.kbd_intr(3)


def _move(old, new):  # by writes alone: until the first write after a power cut LittleFS may hide what is there
    for at in range(1, len(new)):
        if new[at] == "/":
            try:
                os.mkdir(new[:at])
            except OSError:
                pass
    os.rename(old, new)


def _step(step, *paths):
    try:
        step(*paths)
    except OSError as error:
        if error.errno != 2:  # ENOENT: this step was done before the power went
            raise


try:
    os.stat("/update.go")
except OSError:
    pass
else:
    _finish()
