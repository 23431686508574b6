"""What the pool makes of images and processes that fail."""

import sys
import threading
import time
import types

import numpy as np
import pytest

from alexnet_tf.preparation import workers
from alexnet_tf.preparation.shards import ShardTask, make_shard
from alexnet_tf.preparation.sources import Example, FileRange
from alexnet_tf.preparation.workers import Pool
from alexnet_tf.system.errors import UserError
from tests.preparation import crashing_images
from tests.preparation.crashing_images import DEADLY, ENDLESS
from tests.preparation.pictures import encode, photo

GOOD = [encode(photo(index, 40, 30)) for index in range(4)]


@pytest.fixture
def task(tmp_path):
    """Makes a task of encoded images; the names of the images are their numbers."""
    made = []

    def make(*images):
        examples = []
        for number, image in enumerate(images):
            path = tmp_path / f"{len(made)}-{number}.jpg"
            path.write_bytes(image)
            examples.append(Example(str(number), 0, FileRange(str(path))))
        count = len(images)
        positions, measured = np.arange(count)[::-1], np.ones(count, bool)
        path = tmp_path / f"shard-{len(made)}"
        made.append(ShardTask(path, examples, positions, measured, 1, 16, 90))
        return made[-1]

    return make


def never():
    return False


def test_a_script_without_a_main_guard_is_not_started_again(task, tmp_path, monkeypatch):
    script = tmp_path / "script.py"
    script.write_text(f"open({str(tmp_path / 'started')!r}, 'w').close()")
    main = types.ModuleType("__main__")
    main.__file__, main.__spec__ = str(script), None
    monkeypatch.setitem(sys.modules, "__main__", main)
    with Pool(1) as pool:
        ((_, result),) = pool.map([task(GOOD[0])], never)
    assert result.summary.examples == 1
    assert sys.modules["__main__"] is main and not (tmp_path / "started").exists()


@pytest.mark.parametrize("processes", [1, 2])
def test_an_image_that_ends_its_process_costs_only_itself(task, processes):
    tasks = [
        task(*GOOD), task(GOOD[0], DEADLY, b"text", GOOD[1]), task(*GOOD[:2]),
        task(DEADLY), task(DEADLY, DEADLY, *GOOD, DEADLY), task(GOOD[2]),
    ]  # fmt: skip
    shown = []
    with Pool(processes, crashing_images.work) as pool:
        found = {made.path: result for made, result in pool.map(tasks, never, shown.append)}
    results = [found[made.path].summary for made in tasks]
    end = workers.ENDS
    assert [(r.examples, r.skipped) for r in results] == [
        (4, []), (2, [("1", end), ("2", "no image")]), (2, []),
        (0, [("0", end)]), (4, [("0", end), ("1", end), ("6", end)]), (1, []),
    ]  # fmt: skip
    assert sum(shown) == 4 + 4 + 2 + 1 + 7 + 1
    moments = found[tasks[1].path].moments
    usual = make_shard(task(*GOOD[:2])).moments
    assert moments.pictures == 2
    assert (moments.total == usual.total).all()


def test_every_process_makes_the_same_bytes(task):
    """With one shard for two processes, one of them prepares two images at a time."""
    many = task(*GOOD * 20, b"text", *GOOD)
    expected = make_shard(many)
    before = many.path.read_bytes()
    many.path.unlink()
    with Pool(2) as pool:
        ((_, result),) = pool.map([many], never)
    assert result.summary == expected.summary
    assert (result.moments.total == expected.moments.total).all()
    assert many.path.read_bytes() == before


def test_an_image_that_never_ends_is_given_up(task):
    with Pool(1, crashing_images.work, patience=2.0) as pool:
        ((_, result),) = pool.map([task(GOOD[0], ENDLESS, GOOD[1])], never)
    assert result.summary.skipped == [("1", workers.LASTS)]
    assert result.summary.examples == 2


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["die", "die_at_every_image", "die_while_writing"])
def test_processes_that_always_die_are_not_the_images_fault(task, fault):
    tasks = [task(*GOOD, *GOOD, *GOOD)]
    with (
        Pool(1, getattr(crashing_images, fault)) as pool,
        pytest.raises(UserError, match="perhaps with fewer"),
    ):
        list(pool.map(tasks, never))


def test_memory_that_runs_out_says_so(task):
    with (
        Pool(1, crashing_images.need_memory) as pool,
        pytest.raises(UserError, match="Not enough memory to make shard-0.*fewer --workers"),
    ):
        list(pool.map([task(*GOOD)], never))


def test_other_faults_bring_their_traceback(task):
    with (
        Pool(1, crashing_images.fail) as pool,
        pytest.raises(RuntimeError, match="in fail\n.*\n(.*\n)?ZeroDivisionError"),
    ):
        list(pool.map([task(*GOOD)], never))


def test_to_stop_ends_a_process_that_hangs(task):
    started = time.monotonic()
    with Pool(1, crashing_images.work) as pool:
        times = iter(range(10**6))
        assert list(pool.map([task(ENDLESS)], lambda: next(times) > 5)) == []
    assert time.monotonic() - started < 30


def test_to_stop_ends_a_process_that_has_sent_half_a_result(task):
    tasks = [task(*GOOD)]

    def run():
        with Pool(1, crashing_images.stop_in_mid_sentence) as pool:
            # The file is there before the result is sent.
            assert list(pool.map(tasks, lambda: tasks[0].path.exists() and waited.wait(1))) == []

    waited = threading.Event()
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while not tasks[0].path.exists():
        time.sleep(0.1)
    time.sleep(0.5)
    waited.set()
    thread.join(30)
    assert not thread.is_alive()
