import os

import numpy as np
import pytest

from alexnet_tf.preparation.shards import read_image
from alexnet_tf.preparation.sources import open_folders
from alexnet_tf.system.errors import UserError

SCRATCH = None  # files need none


def write(root, paths):
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
    return root


@pytest.mark.parametrize("validation", ["val", "validation"])
def test_folders_are_classes(tmp_path, validation):
    files = ["train/b/2.jpg", "train/b/1.png", "train/a/9.JPEG", f"{validation}/b/1.jpg"]
    write(tmp_path, [*files, "train/a/.hidden", "train/notes.txt", "train/.git/x"])
    os.mkfifo(tmp_path / "train" / "a" / "pipe")
    (tmp_path / "train" / "a" / "link.jpg").symlink_to(tmp_path / "train" / "b" / "2.jpg")
    (tmp_path / "train" / "a" / "nowhere.jpg").symlink_to(tmp_path / "nowhere.jpg")
    source = open_folders(str(tmp_path))
    assert source.classes == ("a", "b")
    train = source.splits["train"]
    examples = list(train.examples(np.arange(train.count), SCRATCH))
    assert [(e.file_name, e.label) for e in examples] == [
        ("a/9.JPEG", 0), ("a/link.jpg", 0), ("b/1.png", 1), ("b/2.jpg", 1)
    ]  # fmt: skip
    assert [read_image(e.image).decode() for e in examples] == [
        f"train/{name}" for name in ("a/9.JPEG", "b/2.jpg", "b/1.png", "b/2.jpg")
    ]
    assert source.splits["validation"].count == 1
    assert source.ignored == 5  # also .git, .hidden and notes.txt


def fingerprint(root):
    return open_folders(str(root)).splits["train"].fingerprint()


def test_the_fingerprint_changes_with_a_file(tmp_path):
    write(tmp_path, ["train/a/1.jpg", "train/b/1.jpg", "val/b/1.jpg"])
    file = tmp_path / "train" / "a" / "1.jpg"
    before, state = fingerprint(tmp_path), file.stat()
    assert fingerprint(tmp_path) == before
    file.write_text("train/a/1.JPG")  # as long as before
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert fingerprint(tmp_path) != before
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert fingerprint(tmp_path) == before
    file.write_text("longer than before")
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert fingerprint(tmp_path) != before


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (["trian/1.jpg"], "train/<class>/ and val/<class>/"),
        (["train/1.jpg", "val/a/1.jpg"], "one folder for each class"),
        (["train/a/1.jpg", "val/b/1.jpg"], "e.g. b"),
        (["train/a/1.jpg", "val/a/.1.jpg"], "hold no images"),
    ],
)
def test_other_layouts_are_refused(tmp_path, paths, words):
    with pytest.raises(UserError, match=words):
        open_folders(str(write(tmp_path, paths)))


@pytest.mark.parametrize(
    ("folders", "wanted", "prepared", "left_out"),
    [
        (["train"], (), ["train"], ()),
        (["test"], (), ["test"], ()),
        (["test", "train", "valid"], (), ["train", "valid"], ("test",)),
        (["test", "train", "val"], ("test", "validation"), ["test", "validation"], ("train",)),
    ],
)
def test_splits_keep_their_names(tmp_path, folders, wanted, prepared, left_out):
    write(tmp_path, [f"{name}/a/1.jpg" for name in folders])
    source = open_folders(str(tmp_path), None, wanted)
    assert (list(source.splits), source.left_out) == (prepared, left_out)


def test_an_output_that_would_become_a_class_is_refused(tmp_path):
    write(tmp_path, ["train/a/1.jpg", "val/a/1.jpg"])
    with pytest.raises(UserError, match="--output outside of .*train"):
        open_folders(str(tmp_path), str(tmp_path / "train" / "out"))
    open_folders(str(tmp_path), str(tmp_path / "trained"))
