"""The processor cores that this process may use."""

import os


def usable_cores() -> int:
    """How many there are; in a container, fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
