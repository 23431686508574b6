"""Prepares a dataset for training: square images of 256 pixels, in shards, with statistics.

python -m alexnet_tf.prepare --source=imagenet --data_dir=DIR --output=OUT
python -m alexnet_tf.prepare --source=folder --data_dir=DIR --output=OUT
python -m alexnet_tf.prepare --source=tfds:imagenet2012 --output=OUT

With imagenet, DIR holds ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar; with folder, it holds
DIR/train/<class>/ and DIR/val/<class>/.

If it is interrupted or killed, the same command continues with the shards that are not finished.
"""

from __future__ import annotations

import collections
import os
import shlex
import time
import typing

from absl import flags as absl_flags

from alexnet_tf import app

if typing.TYPE_CHECKING:
    from alexnet_tf.preparation.sources import Source

_FLAGS = absl_flags.FLAGS
_VAL_LABELS = "datasets/imagenet2012/validation_labels.txt"  # in the package of TFDS


def main(argv: list[str]) -> int:
    """Prepares and reports; returns the exit code, 128 plus the signal's number if interrupted."""
    from alexnet_tf.data.splits import TRAIN, describe_roles
    from alexnet_tf.preparation.directory import check_output
    from alexnet_tf.preparation.plan import Settings
    from alexnet_tf.preparation.run import prepare_dataset
    from alexnet_tf.system.processes import usable_cores

    settings = Settings(_FLAGS.size, _FLAGS.quality, _FLAGS.shard_examples, _FLAGS.seed)
    check_output(_FLAGS.output)
    started = time.monotonic()
    source = _open_source(_FLAGS.source, _FLAGS.data_dir, _FLAGS.output, _FLAGS.val_labels)
    result = prepare_dataset(
        source,
        _FLAGS.output,
        settings,
        _FLAGS.workers or usable_cores(),
        _FLAGS.max_skipped,
    )
    if result.report is None:
        print(
            f"interrupted; {result.images:,} more images are in finished shards. "
            "Run the same command again to continue"
        )
        return 128 + result.interrupted_by
    for name, split in result.report["prepared"].items():
        print(
            f"{name + ':':12}{split['examples']:,} images in {len(split['shards']):,} shards, "
            f"{split['bytes'] / 1e6:,.1f} MB; {len(split['skipped']):,} skipped"
        )
        reasons = collections.Counter(reason for _, reason in split["skipped"])
        for reason, count in sorted(reasons.items()):
            print(f"            {count:,} skipped: {reason}")
        empty = [label for label, count in split["classes"].items() if not count]
        if empty:
            print(f"            {len(empty):,} classes without an image, e.g. {empty[0]}")
    names = tuple(result.report["prepared"])
    print(f"{'splits':12}{describe_roles(names)}")
    if source.left_out:
        also = ",".join((*names, *source.left_out))
        print(f"{'left out':12}{', '.join(source.left_out)} (--splits={also} prepares all)")
    seconds = time.monotonic() - started
    if result.images:
        print(f"wall time   {seconds:.0f} s, {result.images / seconds:,.0f} images/s")
    else:
        print("nothing to do: the dataset is complete, and no file has changed")
    print(f"report      {os.path.join(_FLAGS.output, 'report.txt')}")
    variant, output = _variant_for(_FLAGS.size), shlex.quote(_FLAGS.output)
    command = f"train --dataset={output} --variant={variant}"
    if TRAIN not in names:
        command = f"evaluate --dataset={output} --model_dir=RUN"
    print(f"\nNext:\n  python -m alexnet_tf.{command}")
    return 0


def _variant_for(size: int) -> str:
    """The variant with the largest input for which the images need not be enlarged."""
    from alexnet_tf.models.variants import get_variant, variants

    sizes = {name: get_variant(name).preprocessing.image_size for name in variants()}
    largest = max((each for each in sizes.values() if each <= size), default=min(sizes.values()))
    return next(name for name, each in sizes.items() if each == largest)


def _open_source(source: str, data_dir: str | None, output: str, val_labels: str | None) -> Source:
    from alexnet_tf.system.errors import UserError
    from alexnet_tf.system.paths import local_path

    kind, _, name = source.partition(":")
    if kind == "tfds" and name:
        from alexnet_tf.preparation.sources import open_tfds_source

        return open_tfds_source(name, data_dir, _FLAGS.splits)
    if source not in ("imagenet", "folder"):
        raise UserError(f"Expected --source=imagenet, folder or tfds:NAME. Received: {source}")
    if not data_dir:
        raise UserError(f"Expected --data_dir with --source={source}. Received: none")
    data_dir = str(local_path(data_dir, "--data_dir"))
    if source == "folder":
        from alexnet_tf.preparation.sources import open_folders

        return open_folders(data_dir, output, _FLAGS.splits)
    if _FLAGS.splits:
        raise UserError("Expected --splits with --source=folder or tfds:NAME. Received: imagenet")
    import tensorflow_datasets as tfds

    from alexnet_tf.preparation.imagenet_tars import open_imagenet

    return open_imagenet(data_dir, val_labels or str(tfds.core.tfds_path(_VAL_LABELS)))


if __name__ == "__main__":
    absl_flags.DEFINE_string(
        "source", None,
        "imagenet: its two tar archives; folder: photographs, one folder per class; tfds:NAME: a "
        "dataset of TensorFlow Datasets",
        required=True,
    )  # fmt: skip
    absl_flags.DEFINE_string(
        "data_dir", None,
        "imagenet: the folder that holds the two tar archives; folder: the folder that holds "
        "train/ and val/; tfds: the folder in which TFDS keeps datasets",
    )  # fmt: skip
    absl_flags.DEFINE_string(
        "output",
        None,
        "output directory: new, empty, or one of an earlier run of this command, which is "
        "continued",
        required=True,
    )
    absl_flags.DEFINE_list(
        "splits", [],
        "splits to prepare; default: train, and the first of validation, val, valid, dev and test",
    )  # fmt: skip
    absl_flags.DEFINE_integer(
        "size", 256, "width and height of the square images, pixels (paper §2)", 16, 2048
    )
    absl_flags.DEFINE_integer("quality", 90, "JPEG quality, 1 to 95", 1, 95)
    absl_flags.DEFINE_integer(
        "shard_examples", 1024,
        "images per shard, approximately; each worker process holds one shard in memory",
        lower_bound=1,
    )  # fmt: skip
    absl_flags.DEFINE_integer(
        "workers", None, "number of worker processes; default: one per core", lower_bound=1
    )
    absl_flags.DEFINE_integer("seed", 0, "seed of the random order in which the images are written")
    absl_flags.DEFINE_float(
        "max_skipped", 0.01,
        "largest share of a split's images that may be skipped as unusable, 0 to 1; with more, "
        "preparation stops",
        lower_bound=0, upper_bound=1,
    )  # fmt: skip
    absl_flags.DEFINE_string(
        "val_labels", None,
        "imagenet: a text file with the synset (e.g. n01440764) of each validation image, one per "
        "line, in the order of the images' names; default: the list in TFDS, for all 50,000 images",
    )  # fmt: skip
    app.run(main, flags_only=True)
