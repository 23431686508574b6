import gzip
import tarfile

import numpy as np
import pytest

from alexnet_tf.preparation.imagenet_tars import TRAIN, VALIDATION, open_imagenet
from alexnet_tf.preparation.shards import read_image
from alexnet_tf.system.errors import UserError
from tests.preparation.archives import LINK, tar, write_archives

LONG = "n02_" + 150 * "x" + ".JPEG"  # needs a header of its own
DATA = {
    "n02": {"n02_1.JPEG": b"two one", LONG: b"two long"},
    "n01": {"n01_1.JPEG": b"one one" * 200, "n01_link.JPEG": LINK, "../../n01_3.JPEG": b""},
}
# In another order than that of their names, which is that of the labels.
VALIDATIONS = {"v_3.JPEG": b"three", "v_1.JPEG": b"one", "v_2.JPEG": b"two"}
LABELS = ["n01", "n02", "n01"]
SCRATCH = None  # archives need none


@pytest.fixture
def folder(tmp_path):
    return write_archives(tmp_path / "in", DATA, VALIDATIONS, LABELS)


def opened(folder):
    return open_imagenet(str(folder), str(folder / "labels.txt"))


def contents(reader):
    """Name to label and bytes, read as workers do."""
    examples = reader.examples(np.arange(reader.count), SCRATCH)
    return {e.file_name: (e.label, read_image(e.image)) for e in examples}


def test_every_plain_file_is_found_where_it_lies(folder):
    source = opened(folder)
    assert source.classes == ("n01", "n02")
    assert contents(source.splits["train"]) == {
        "n02_1.JPEG": (1, b"two one"),
        LONG: (1, b"two long"),
        "n01_1.JPEG": (0, b"one one" * 200),
        "n01_3.JPEG": (0, b""),  # a name, never a path
    }
    assert source.ignored == 1


def test_validation_labels_follow_the_order_of_names(folder):
    assert contents(opened(folder).splits["validation"]) == {
        "v_1.JPEG": (0, b"one"),
        "v_2.JPEG": (1, b"two"),
        "v_3.JPEG": (0, b"three"),
    }


def test_the_fingerprint_changes_with_the_archive(folder):
    before = opened(folder).splits["train"].fingerprint()
    assert opened(folder).splits["train"].fingerprint() == before
    write_archives(folder, {**DATA, "n02": {"n02_1.JPEG": b"two one!"}}, VALIDATIONS, LABELS)
    assert opened(folder).splits["train"].fingerprint() != before


@pytest.mark.parametrize("labels", [LABELS[:2], [*LABELS, "n01"]])
def test_a_list_of_another_length_is_refused(folder, labels):
    (folder / "labels.txt").write_text("\n".join(labels))
    with pytest.raises(
        UserError, match=rf"the 3 images .* Received: {len(labels)} lines in .*labels.txt"
    ):
        opened(folder)


def test_a_list_of_other_classes_is_refused(folder):
    (folder / "labels.txt").write_text("n01 n99 n01")
    with pytest.raises(UserError, match="Received: n99"):
        opened(folder)


def test_missing_archives_are_named(folder):
    (folder / VALIDATION).unlink()
    with pytest.raises(UserError, match=f"Received: no {VALIDATION}"):
        opened(folder)


def test_a_compressed_archive_is_refused_by_its_kind(folder):
    for data in (
        gzip.compress((folder / TRAIN).read_bytes()),
        tar({"n01.tar": gzip.compress(tar(DATA["n01"]))}),
    ):
        (folder / TRAIN).write_bytes(data)
        with pytest.raises(UserError, match="not compressed. Received: .*gzip data at byte"):
            opened(folder)


def test_an_archive_of_another_layout_is_refused(folder):
    (folder / TRAIN).write_bytes(tar({"n01/n01_1.JPEG": b"one"}))
    with pytest.raises(UserError, match="one archive per class .* Received: n01_1.JPEG"):
        opened(folder)


def test_a_damaged_archive_is_refused_wherever_it_is_cut(folder):
    """Python's reader takes some cuts and damaged headers for a proper end."""
    whole = (folder / TRAIN).read_bytes()
    end = whole.rindex(b"one one") + 2000
    for length in (end, 5 * tarfile.BLOCKSIZE, tarfile.BLOCKSIZE, 700, 100, 0):
        (folder / TRAIN).write_bytes(whole[:length])
        with pytest.raises(UserError, match="Expected a whole tar archive. Received: .*train.tar"):
            opened(folder)
    place = whole.index(b"n01.tar")
    for damaged in (
        whole[:place] + b"\xff" * 300 + whole[place + 300 :],  # a header of the outer archive
        whole[: place + 512] + b"\xff" * 300 + whole[place + 812 :],  # the inner one's first
    ):
        (folder / TRAIN).write_bytes(damaged)
        with pytest.raises(UserError, match="Expected a whole tar archive"):
            opened(folder)


def header(size, kind=tarfile.REGTYPE, name="n01_1.JPEG"):
    """One member's, with any size at all, as GNU tar writes numbers that are no octal ones."""
    info = tarfile.TarInfo(name)
    info.type = kind
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = size.to_bytes(12, "big", signed=True)
    if size >= 0:
        block[124] = 0x80
    block[148:156] = b" " * 8  # as the sum of all bytes is taken
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize("size", [-512, -1024, -1, -(2**40), 2**40, 2**80])
@pytest.mark.parametrize(
    "kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.DIRTYPE]
)
@pytest.mark.parametrize("before", [b"", tar(DATA["n02"])[:1024]])  # the first member or not
def test_lengths_that_cannot_be_are_refused(folder, size, kind, before):
    inner = before + header(size, kind) + bytes(10240)
    (folder / TRAIN).write_bytes(tar({"n01.tar": inner}))
    with pytest.raises(UserError, match="Expected a whole tar archive"):
        opened(folder)


def test_headers_without_end_are_refused(folder):
    chain = b"".join(header(0, tarfile.GNUTYPE_LONGNAME) for _ in range(3000))
    (folder / TRAIN).write_bytes(tar({"n01.tar": chain + bytes(10240)}))
    with pytest.raises(UserError, match="Expected a whole tar archive"):
        opened(folder)
