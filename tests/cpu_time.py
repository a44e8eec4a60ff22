"""CPU time, for bars that a busy machine must not move."""

import resource


def spent_s():
    """CPU seconds so far, of this process and of those of its children that have ended and were waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
