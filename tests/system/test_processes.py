"""Cores, counted in made-up control groups."""

import math

import pytest

from alexnet_tf.system.processes import cpu_quota, schedulable_cores, usable_cores

V1 = "12:memory:/a\n4:cpu,cpuacct:/docker/1f\n3:cpuset:/docker/1f\n"


@pytest.mark.parametrize(
    "group, files, cores",
    [
        ("0::/\n", {"cpu.max": "50000 100000"}, 0.5),
        ("0::/\n", {"cpu.max": "max 100000"}, math.inf),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "150000 100000"}, 1.5),
        ("0::/on/the/host\n", {"cpu.max": "300000 100000"}, 3),  # a container's own view
        (
            V1,
            {
                "cpu,cpuacct/docker/1f/cpu.cfs_quota_us": "200000\n",
                "cpu,cpuacct/docker/1f/cpu.cfs_period_us": "100000\n",
            },
            2,
        ),
        (V1, {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, math.inf),
        (V1, {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ("0::/\n", {"cpu.max": "garbage"}, math.inf),
        ("0::/\n", {}, math.inf),
        (None, {}, math.inf),
    ],
)
def test_the_lowest_quota_of_the_control_groups_counts(tmp_path, group, files, cores):
    for name, content in files.items():
        path = tmp_path / "sys" / "fs" / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    if group is not None:
        (tmp_path / "proc" / "self").mkdir(parents=True)
        (tmp_path / "proc" / "self" / "cgroup").write_text(group)
    assert cpu_quota(tmp_path) == cores
    assert usable_cores(tmp_path) == min(schedulable_cores(), math.ceil(min(cores, 1e9)))


def test_cores_that_the_process_may_not_run_on_do_not_count(tmp_path):
    import os

    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert usable_cores(tmp_path) == 1
    finally:
        os.sched_setaffinity(0, before)
