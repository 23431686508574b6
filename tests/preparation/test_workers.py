"""What the pool makes of pictures, disks and processes that fail."""

import os
import threading
import time

import pytest

from alexnet_tf.preparation import chunks, resize, workers
from alexnet_tf.preparation.chunks import Chunk, prepare_chunk
from alexnet_tf.preparation.sources import Place
from alexnet_tf.preparation.workers import Pool
from alexnet_tf.system.errors import UserError
from tests.preparation import crashing_images
from tests.preparation.pictures import encode, photo

GOOD = [encode(photo(index, 40, 30)) for index in range(4)]


def chunk(*pictures):
    return Chunk(list(pictures), [True] * len(pictures), 16, 90)


def never():
    return False


def outcomes(pool, work):
    return [
        (tag, [r if isinstance(r, str) else "prepared" for r in done.results], done.moments)
        for tag, done in pool.map(enumerate(work), never)
    ]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_picture_that_ends_its_process_costs_only_itself(processes):
    work = [
        chunk(*GOOD), chunk(GOOD[0], crashing_images.DEADLY, b"text", GOOD[1]), chunk(*GOOD[:2]),
        chunk(crashing_images.DEADLY), chunk(*GOOD), chunk(GOOD[2]),
    ]  # fmt: skip
    with Pool(processes, crashing_images.work) as pool:
        found = outcomes(pool, work)
    good = "prepared"
    assert [(tag, results) for tag, results, _ in found] == [
        (0, [good] * 4), (1, [good, workers.ENDS, "no image", good]), (2, [good] * 2),
        (3, [workers.ENDS]), (4, [good] * 4), (5, [good]),
    ]  # fmt: skip
    usual = prepare_chunk(chunk(GOOD[0], GOOD[1])).moments
    assert found[1][2].pictures == 2
    assert (found[1][2].total == usual.total).all()


def test_a_picture_that_never_ends_is_given_up():
    with Pool(1, crashing_images.work, patience=8.0) as pool:
        assert [
            results for _, results, _ in outcomes(pool, [chunk(GOOD[0], crashing_images.ENDLESS)])
        ] == [["prepared", workers.LASTS]]


def test_processes_that_always_die_are_not_the_pictures_fault():
    with Pool(1, crashing_images.die) as pool, pytest.raises(UserError, match="perhaps with fewer"):
        outcomes(pool, [chunk(*GOOD, *GOOD, *GOOD)])


def test_to_stop_ends_a_process_that_hangs():
    started = time.monotonic()
    with Pool(1, crashing_images.work) as pool:
        times = iter(range(10**6))
        assert list(pool.map([(0, chunk(crashing_images.ENDLESS))], lambda: next(times) > 5)) == []
    assert time.monotonic() - started < 60


def test_to_stop_ends_a_process_that_has_sent_half_a_result():
    def run():
        with Pool(1, crashing_images.stop_in_mid_sentence) as pool:
            end = time.monotonic() + 10
            assert list(pool.map([(0, chunk(*GOOD))], lambda: time.monotonic() > end)) == []

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(chunks, "_WAITS", (0.0, 0.0))


def test_a_disk_that_fails_once_is_asked_again(tmp_path, monkeypatch, hasty):
    file = tmp_path / "a.jpg"
    file.write_bytes(GOOD[0])
    failures = [OSError(5, "Source/output error"), OSError(5, "Source/output error")]

    def read(path):
        if failures:
            raise failures.pop()
        return file.read_bytes()

    monkeypatch.setattr(chunks, "read_file", read)
    (result,) = prepare_chunk(chunk(Place(str(file)))).results
    assert result == resize.prepare(GOOD[0], 16, 90)


@pytest.mark.parametrize("size", [None, 100])
def test_what_cannot_be_read_is_named_and_never_skipped(tmp_path, size, hasty):
    place = Place(str(tmp_path / "gone.jpg"), 7, size)
    with pytest.raises(UserError, match=r"gone.jpg. Received: No such file or directory, 3 times"):
        prepare_chunk(chunk(GOOD[0], place))


def test_an_archive_that_was_cut_meanwhile_is_no_truncated_picture(tmp_path, hasty):
    file = tmp_path / "a.tar"
    file.write_bytes(GOOD[0])
    os.truncate(file, len(GOOD[0]) // 2)
    with pytest.raises(UserError, match=r"byte 0 of .*a.tar. Received: the archive has become"):
        prepare_chunk(chunk(Place(str(file), 0, len(GOOD[0]))))


def test_memory_that_runs_out_is_no_large_picture(monkeypatch, hasty):
    def resize(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr(resize, "prepare_jpeg", resize)
    with pytest.raises(UserError, match="Received: not enough memory"):
        prepare_chunk(chunk(GOOD[0]))
