"""Datasets in the format of TFDS made for tests: images of one colour, in the order given."""

import tensorflow as tf
import tensorflow_datasets as tfds

from tests.data.splits import shade_png

CLASSES = ("blue", "green", "red")


def write_tfds(folder, shards=3, side=8, **labels):
    """Writes a dataset with a split for each keyword, of these labels; returns its directory."""
    folder.mkdir(parents=True)
    infos = []
    for split, numbers in labels.items():
        bounds = [len(numbers) * shard // shards for shard in range(shards + 1)]
        for shard, (start, end) in enumerate(zip(bounds, bounds[1:], strict=False)):
            name = f"made-{split}.tfrecord-{shard:05d}-of-{shards:05d}"
            with tf.io.TFRecordWriter(str(folder / name)) as file:
                for index in range(start, end):
                    file.write(_example(index, numbers[index], side))
        lengths = [end - start for start, end in zip(bounds, bounds[1:], strict=False)]
        infos.append(tfds.core.SplitInfo(name=split, shard_lengths=lengths, num_bytes=1))
    features = {
        "image": tfds.features.Image(shape=(side, side, 3), encoding_format="png"),
        "label": tfds.features.ClassLabel(names=CLASSES),
    }
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=tfds.features.FeaturesDict(features),
        split_infos=infos,
        supervised_keys=("image", "label"),
        check_data=False,
    )
    return str(folder)


def _example(index, label, side):
    """The image of an example is its index, as a shade."""
    image = tf.train.BytesList(value=[shade_png(index % 256, side)])
    return tf.train.Example(
        features=tf.train.Features(
            feature={
                "image": tf.train.Feature(bytes_list=image),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
            }
        )
    ).SerializeToString()
