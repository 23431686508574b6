"""Which files of a folder are images, of which class, and what is said of the others."""

import os
import pathlib
import tempfile

import numpy as np
import pytest

from alexnet_tf.data.class_folders import class_names, is_image, list_images
from alexnet_tf.data.sources import open_dataset
from alexnet_tf.preparation.sources import open_folders
from alexnet_tf.system.errors import UserError
from tests.data.odd_images import odd_images
from tests.folders import write_folder


def write(root, files):
    """Writes files: path to the name of an odd image, or bytes."""
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(odd_images().get(content, content))
    return root


def listed(root, split="train"):
    """Relative path to label, as training and as preparation list a split; they must agree."""
    dataset = open_dataset("folder", str(root), max_unreadable=1)
    found = dataset.train if split == "train" else dataset.validation
    paths, labels = found.parse(next(iter(found.in_order().batch(found.examples))))
    trained = {
        os.path.relpath(path.decode(), root / split): int(label)
        for path, label in zip(paths.numpy(), labels.numpy(), strict=True)
    }
    reader = open_folders(str(root)).splits["train" if split == "train" else "validation"]
    examples = list(reader.examples(np.arange(reader.count), None))
    assert [(e.file_name, e.label) for e in examples] == list(trained.items())
    return trained


def test_images_are_known_by_their_content_at_any_depth(tmp_path, capsys):
    images = {
        *("a/1.jpg", "a/2.webp", "a/3.jfif", "a/4", "a/5.Tif", "a/more/again/6.photo", "b/7.png"),
    }
    kinds = {".webp": "webp", ".Tif": "tiff", ".png": "png 16"}
    write(
        tmp_path,
        {
            **{f"train/{path}": kinds.get(os.path.splitext(path)[1], "jpeg") for path in images},
            "train/a/damaged.jpeg": b"hello",
            "train/a/notes.txt": b"hello",
            "train/a/BMW.txt": b"BMW is no bitmap",
            "train/a/raw.nef": "tiff",
            "train/b/photo.heic": b"\0\0\0\x1cftypheic",
            "train/beside.jpg": "jpeg",
            **{f"val/{label}/1.jpg": "jpeg" for label in "ab"},
        },
    )
    expected = dict.fromkeys(sorted({*images, "a/damaged.jpeg"}), 0) | {"b/7.png": 1}
    assert listed(tmp_path) == expected
    said = capsys.readouterr().out
    lines = said.splitlines()
    assert len(set(lines)) == 2 and len(lines) == 4, said  # of training and of preparation
    assert "train: 5 left out: 2 no images (a/BMW.txt, a/notes.txt); 2 images of a format" in said
    assert "not read (a/raw.nef, b/photo.heic); 1 images outside of the class folders (" in said
    assert "train: 1 images lie in folders within" in said


@pytest.mark.parametrize(
    "name",
    [
        *("Thumbs.db", "thumbs.DB", ".DS_Store", "desktop.ini", "._1.jpg", "Icon\r", ".hidden.png"),
        *("__MACOSX/._1.jpg", "lost+found/1.jpg", ".ipynb_checkpoints/1.jpg", "@eaDir/1.jpg"),
    ],
)
def test_what_programs_leave_beside_photographs_is_passed_over(tmp_path, name, capsys):
    for split in ("train", "val"):
        for folder in (f"{split}/a/", f"{split}/", ""):
            write(tmp_path, {f"{folder}{name}": "jpeg"})
        write(tmp_path, {f"{split}/a/1.jpg": "jpeg"})
    assert listed(tmp_path) == {"a/1.jpg": 0}
    assert open_dataset("folder", str(tmp_path)).left_out.images == 0
    assert "2 hidden or of the operating system" in capsys.readouterr().out


def test_the_layout_of_tiny_imagenet_is_read_as_it_is(tmp_path, capsys):
    root = write(
        tmp_path,
        {
            "wnids.txt": b"n2\nn1\n",
            "train/n1/n1_boxes.txt": b"n1_0.JPEG\t0\t0\t62\t62\n",
            "train/n1/images/n1_0.JPEG": "jpeg",
            "train/n2/images/n2_0.JPEG": "jpeg",
            "val/images/val_0.JPEG": "jpeg",
            "val/images/val_1.JPEG": "jpeg grey",
            "val/images/val_2.JPEG": "jpeg",
            "val/val_annotations.txt": b"val_0.JPEG\tn2\t0\t32\nval_1.JPEG\tn1\t0\t0\n",
            "test/images/test_0.JPEG": "jpeg",
        },
    )
    assert listed(root) == {"n1/images/n1_0.JPEG": 0, "n2/images/n2_0.JPEG": 1}
    assert listed(root, "val") == {"images/val_0.JPEG": 1, "images/val_1.JPEG": 0}
    said = capsys.readouterr().out
    assert "lie in folders" not in said
    assert "1 images without a line in the list of classes (images/val_2.JPEG)" in said


def test_links_are_followed_but_not_for_ever_and_pipes_are_not_opened(tmp_path):
    write(tmp_path, {"a/1.jpg": "jpeg", "elsewhere/2.jpg": "jpeg"})
    place = tmp_path / "a"
    (place / "nowhere.jpg").symlink_to(tmp_path / "missing")
    (place / "up").symlink_to(tmp_path / "a")
    (place / "other").symlink_to(tmp_path / "elsewhere")
    (place / "empty.jpg").mkdir()
    os.mkfifo(place / "pipe.jpg")  # opening it would wait for ever
    found = list_images(tmp_path, ("a",))
    assert found.names == ["a/1.jpg", "a/other/2.jpg"] and found.nested == 1
    assert "2 links to nowhere, pipes or devices (a/nowhere.jpg, a/pipe.jpg)" in str(found.left_out)


@pytest.mark.parametrize("name", ["red\n", "re\rd", "red\u2028", " red", os.fsdecode(b"r\xe9d")])
def test_a_name_of_a_class_that_no_list_can_hold_is_refused_by_every_command(tmp_path, name):
    write(tmp_path, {f"{split}/{name}/1.jpg": "jpeg" for split in ("train", "val")})
    for open_it in (lambda root: open_dataset("folder", root), open_folders):
        with pytest.raises(UserError, match="without line breaks.*Rename it") as error:
            open_it(str(tmp_path))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("what", ["", "train", "val", "train/disk", "train/disk/0000.jpg"])
def test_what_may_not_be_read_is_named_in_one_line(tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)  # closed to others as well, which is no fault of the data
    tmp_path.chmod(0o700)
    with tempfile.TemporaryDirectory() as place:  # pytest's own folders are closed to others
        os.chmod(place, 0o755)
        folder = write_folder(pathlib.Path(place), train=1, val=1)
        image = next((folder / "train" / "disk").iterdir())
        path = image if what.endswith("jpg") else folder / what
        path.chmod(0)
        user = os.geteuid()
        try:
            if user == 0:  # who may read everything
                os.seteuid(65534)
            for open_it in (lambda root: open_dataset("folder", root), open_folders):
                with pytest.raises(UserError, match=f"{path} cannot be read: Permission denied"):
                    open_it(str(folder))
        finally:
            os.seteuid(user)
            path.chmod(0o755)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["tiny/train/a/1.jpg"], r"Did you mean .*tiny\?"),
        (["cats/1.jpg", "dogs/1.jpg"], "It holds the folders cats, dogs"),
        (["1.jpg", "2.jpg"], r"It holds 2 images \(1.jpg\): put each into a folder"),
        (["train/1.jpg", "val/a/1.jpg"], r"It holds 1 images \(1.jpg\): put each into a folder"),
    ],
)
def test_another_layout_is_explained(tmp_path, files, words):
    write(tmp_path, dict.fromkeys(files, "jpeg"))
    for open_it in (lambda root: open_dataset("folder", root), open_folders):
        with pytest.raises(UserError, match=words):
            open_it(str(tmp_path))


def test_classes_are_folders_only(tmp_path):
    write(tmp_path, {"b/1.jpg": "jpeg", "a/1.jpg": "jpeg", "notes.txt": b""})
    assert class_names(tmp_path) == ("a", "b")


def test_what_begins_like_an_image():
    for name, encoded in odd_images().items():
        assert is_image(encoded[:18], ".tiff") == (name != "ppm"), name
    assert not is_image(odd_images()["tiff"][:18], ".cr2")
    assert not is_image(b"RIFF\0\0\0\0WAVEfmt ", ".webp")
