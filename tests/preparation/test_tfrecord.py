"""Records beside TensorFlow's own."""

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.preparation.tfrecord import crc32c, frame_records, serialize_example


@pytest.mark.parametrize("label", [0, 1, 127, 128, 999, 2**31])
@pytest.mark.parametrize("size", [0, 1, 127, 128, 20_000])
@pytest.mark.parametrize("name", ["n01440764_1.JPEG", "", "ünïcode.jpg", "\udcff.jpg", "x" * 300])
def test_examples_are_tensorflows_to_the_byte(label, size, name):
    jpeg = np.random.default_rng(size).bytes(size)
    features = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[jpeg])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        "file_name": tf.train.Feature(
            bytes_list=tf.train.BytesList(value=[name.encode(errors="surrogateescape")])
        ),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    assert serialize_example(jpeg, label, name) == example.SerializeToString(deterministic=True)


@pytest.mark.parametrize("lengths", [[], [4], [256, 255, 257], [5, 100_000, 4], [4] * 200])
def test_files_are_tensorflows_to_the_byte(tmp_path, lengths):
    rng = np.random.default_rng(len(lengths))
    records = [rng.bytes(length) for length in lengths]
    with tf.io.TFRecordWriter(str(tmp_path / "file")) as writer:
        for record in records:
            writer.write(record)
    assert b"".join(frame_records(records)) == (tmp_path / "file").read_bytes()


def test_checksums_of_known_messages():
    """RFC 3720, appendix B.4."""
    messages = [bytes(32), b"\xff" * 32, bytes(range(32)), bytes(range(31, -1, -1)), b"123456789"]
    known = [0x8A9136AA, 0x62A8AB43, 0x46DD794E, 0x113FDB5C, 0xE3069283]
    assert crc32c(messages).tolist() == known
