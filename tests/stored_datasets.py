"""Small datasets in TFDS's format, made for tests without a builder."""

import json
import pathlib

import tensorflow as tf
import tensorflow_datasets as tfds

from tests.data.splits import shade_png

CLASSES = ("blue", "green", "red")


def serialised(image, label):
    features = tf.train.Features(
        feature={
            "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image])),
            "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        }
    )
    return tf.train.Example(features=features).SerializeToString()


def write_dataset(folder, splits, claimed=None, records=None, **features):
    """Writes a dataset of one shard a split.

    Args:
        folder: to write, e.g. DIR/name/1.0.0.
        splits: from names to the labels of the examples.
        claimed: from names to the numbers of examples that the metadata says.
        records: from names to records, in place of those that follow from the labels.
        features: other ones than an image and a label of three classes.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    infos = []
    for name, labels in splits.items():
        file = folder / f"small-{name}.tfrecord-00000-of-00001"
        examples = [serialised(shade_png(40 * i % 256), label) for i, label in enumerate(labels)]
        with tf.io.TFRecordWriter(str(file)) as writer:
            for example in (records or {}).get(name, examples):
                writer.write(example)
        length = (claimed or {}).get(name, len(labels))
        infos.append(tfds.core.SplitInfo(name, [length], file.stat().st_size))
    found = {
        "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
        "label": tfds.features.ClassLabel(names=CLASSES),
        **features,
    }
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=tfds.features.FeaturesDict({k: v for k, v in found.items() if v is not None}),
        split_infos=infos,
        version="1.0.0",
        supervised_keys=("image", "label") if {"image", "label"} <= found.keys() else None,
        check_data=False,
    )
    info = folder / "dataset_info.json"
    info.write_text(json.dumps({**json.loads(info.read_text()), "name": "small"}))
    return folder


def edit_json(path, change):
    """Changes the value in a JSON file; `change` returns the new value."""
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
