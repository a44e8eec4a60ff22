"""A plan, carried out on a board. Each step leaves it so that it boots the old firmware or the new: FLASH.md."""

from collections.abc import Callable

from kerbtools.device import Device, FlashFull, NotVerified
from kerbtools.flash.plan import BOOT, GO, HOLD, MAIN, OWNED, STAGE, Digests, Plan, digest

Progress = Callable[[int, int], None]  # bytes sent, bytes in all


def look(device: Device) -> Digests:
    """What a plan is made from: digests of all that the firmware owns."""
    return device.digests(*OWNED)


def carry_out(device: Device, plan: Plan, progress: Progress | None = None) -> None:
    """Bring the board to what the plan was made for. The board is at its REPL before and after.

    FlashFull before anything is written; NotVerified; and what Device raises.
    """
    if plan.stuck:
        device.write(GO, HOLD)
    for path in plan.litter:
        device.remove(path)
    if plan.is_empty:
        return
    facts = device.facts()
    needed = plan.room(facts.block_bytes)
    if needed > facts.free_bytes:
        raise FlashFull(device.port, needed, facts.free_bytes)
    (_install if plan.idle else _replace)(device, plan, progress)
    found = look(device)
    for path, data in plan.changes.items():
        if found.get(path) != digest(data):
            raise NotVerified(device.port, path)
    for path in plan.remove:
        if path in found:
            raise NotVerified(device.port, path)


def _install(device: Device, plan: Plan, progress: Progress | None) -> None:
    """Nothing runs: everything goes to its place, and what lets it run comes last."""
    for path in plan.remove:
        device.remove(path)
    for folder in sorted({path.rpartition("/")[0] for path in plan.changes}):
        device.make_folder(folder)
    files = {path: plan.changes[path] for path in plan.missing if path not in (BOOT, MAIN)}
    device.put(files, progress)
    device.check(files)
    for path in (BOOT, MAIN):
        if path in plan.changes:
            device.write(path, plan.changes[path])
    device.remove(GO)


def _replace(device: Device, plan: Plan, progress: Progress | None) -> None:
    """New content beside the old; then one rename, of /update.go, decides; boot.py does the rest at every start."""
    if BOOT in plan.changes:
        device.write(BOOT, plan.changes[BOOT])
    files = {plan.staged[path]: plan.changes[path] for path in plan.missing if path != BOOT}
    device.make_folder(STAGE)
    try:
        device.put(files, progress)
    except FlashFull:
        for path in files:
            device.remove(path)
        raise
    device.check({plan.staged[path]: data for path, data in plan.changes.items() if path != BOOT})
    device.write(GO, plan.go())
    device.soft_reset()
    if device.files(GO):
        raise NotVerified(device.port, GO)
