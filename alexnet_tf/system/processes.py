"""The processor cores that this process may use."""

from __future__ import annotations

import math
import os
import pathlib


def usable_cores(root: str | os.PathLike = "/") -> int:
    """How many there are: as many as the process may run on, and as its container pays for.

    A container's quota is in time, not in cores; a part of a core counts as one.

    Args:
        root: of the file system with /proc and /sys.
    """
    quota = cpu_quota(root)
    cores = schedulable_cores()
    return cores if quota >= cores else max(1, math.ceil(quota))


def schedulable_cores() -> int:
    """How many cores the process may run on, at the same time."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13, which PYTHON_CPU_COUNT can tell
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_quota(root: str | os.PathLike = "/") -> float:
    """Cores that the control groups of this process allow, over time; infinity without a limit.

    Each group up to the uppermost may set a limit, and the lowest counts. Inside a container the
    path of the group may be that on the host, which does not exist; then the mounted one counts.

    Args:
        root: of the file system with /proc and /sys.
    """
    mounts = pathlib.Path(root, "sys/fs/cgroup")
    try:
        lines = pathlib.Path(root, "proc/self/cgroup").read_text().splitlines()
    except (OSError, ValueError):  # not Linux, or without /proc
        return math.inf
    quotas = [math.inf]
    for line in lines:  # 0::/user.slice of version 2, 4:cpu,cpuacct:/docker/1f of version 1
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mounted = [mounts / controllers, mounts / "cpu"] if controllers else [mounts]
        for mount in mounted:
            folder = pathlib.PurePosixPath(path.lstrip("/"))
            quotas += [_quota(mount / each) for each in (folder, *folder.parents)]
    return min(quotas)


def _quota(group: pathlib.Path) -> float:
    """The limit that one control group sets, in cores."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = " ".join((group / name).read_text() for name in names).split()
            if float(quota) > 0 and float(period) > 0:  # -1: no limit
                return float(quota) / float(period)
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return math.inf
