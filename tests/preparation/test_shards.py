"""One shard: what a task says is what the file holds."""

import dataclasses
import os
import pickle
import resource

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.preparation import resize, shards
from alexnet_tf.preparation.shards import ShardTask, make_shard
from alexnet_tf.preparation.sources import Example, FileRange
from alexnet_tf.system.errors import UserError
from tests.preparation.pictures import encode, photo

GOOD = [encode(photo(index, 40, 30)) for index in range(4)]


@pytest.fixture
def task(tmp_path):
    """Four images and a text, in another order in the source than in the shard."""
    images = [GOOD[0], GOOD[1], b"text", encode(photo(2, 40, 30).convert("L")), GOOD[3]]
    examples = []
    for number, image in enumerate(images):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(image)
        examples.append(Example(f"name {number}", number % 3, FileRange(str(path))))
    measured = np.array([True, False, True, False, True])
    return ShardTask(tmp_path / "shard", examples, np.array([3, 0, 4, 2, 1]), measured, 3, 16, 90)


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(shards, "RETRY_WAITS", (0.0, 0.0))


def test_records_summary_counts_and_moments(task):
    result = make_shard(pickle.loads(pickle.dumps(task)))
    records = [
        tf.train.Example.FromString(record.numpy()).features.feature
        for record in tf.data.TFRecordDataset(str(task.path))
    ]
    assert [r["file_name"].bytes_list.value[0] for r in records] == [
        b"name 1", b"name 4", b"name 3", b"name 0"
    ]  # fmt: skip
    assert [r["label"].int64_list.value[0] for r in records] == [1, 1, 0, 0]
    jpegs = {r["file_name"].bytes_list.value[0]: r["image"].bytes_list.value[0] for r in records}
    assert jpegs[b"name 4"] == resize.prepare(GOOD[3], 16, 90).jpeg
    summary = result.summary
    assert (summary.examples, summary.bytes) == (4, task.path.stat().st_size)
    assert summary.notes == {"grey": 1}
    assert summary.skipped == [("name 2", "no image")]
    assert result.counts.tolist() == [2, 2, 0]
    assert result.moments.pictures == 2
    assert not list(task.path.parent.glob("*.partial"))


@pytest.mark.parametrize("threads", [2, 3, 10])
def test_threads_change_nothing(task, threads):
    expected = make_shard(task)
    before = task.path.read_bytes()
    result = make_shard(task, threads=lambda: threads)
    assert result.summary == expected.summary
    assert (result.moments.total == expected.moments.total).all()
    assert task.path.read_bytes() == before


def test_images_are_announced_before_they_are_opened(task):
    opened = []
    task.examples[1] = dataclasses.replace(task.examples[1], image=FileRange("/nowhere"))
    leave_out = dataclasses.replace(task, unusable={1: "ends the decoder"})
    result = make_shard(leave_out, opened.append)
    assert opened == [0, 2, 3, 4, 5]
    assert ("name 1", "ends the decoder") in result.summary.skipped


def test_a_disk_that_fails_once_is_asked_again(task, monkeypatch, hasty):
    failures = [OSError(5, "Source/output error"), OSError(5, "Source/output error")]

    def read(path):
        if failures:
            raise failures.pop()
        return original(path)

    expected = make_shard(task)
    original = shards.read_file
    monkeypatch.setattr(shards, "read_file", read)
    assert make_shard(task).summary == expected.summary
    assert not failures


@pytest.mark.parametrize("size", [None, 100])
def test_what_cannot_be_read_is_named_and_never_skipped(task, tmp_path, size, hasty):
    gone = FileRange(str(tmp_path / "gone.jpg"), 7, size)
    task.examples[1] = dataclasses.replace(task.examples[1], image=gone)
    with pytest.raises(UserError, match=r"gone.jpg, in 3 attempts: No such file or directory"):
        make_shard(task)
    assert not task.path.exists()


def test_an_archive_that_was_cut_meanwhile_is_no_truncated_image(task, tmp_path, hasty):
    file = tmp_path / "a.tar"
    file.write_bytes(GOOD[0])
    os.truncate(file, len(GOOD[0]) // 2)
    cut = FileRange(str(file), 0, len(GOOD[0]))
    task.examples[1] = dataclasses.replace(task.examples[1], image=cut)
    with pytest.raises(UserError, match=r"byte 0 of .*a.tar, .* the archive has become shorter"):
        make_shard(task)


def test_memory_that_runs_out_is_no_large_image(task, monkeypatch, hasty):
    def starve(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr(resize, "prepare_jpeg", starve)
    with pytest.raises(UserError, match="not enough memory"):
        make_shard(task)


def test_a_full_disk_is_one_line_and_leaves_nothing(task):
    before, limits = set(task.path.parent.iterdir()), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(UserError, match="Could not write to .*: File too large"):
            make_shard(task)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert set(task.path.parent.iterdir()) == before
