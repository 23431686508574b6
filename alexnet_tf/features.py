"""Writes what layers of a trained AlexNet compute for images, or tests them by linear probes.

python -m alexnet_tf.features --model_dir=runs/shapes-tiny --layers=conv5,fc7 --output=features.npz
python -m alexnet_tf.features --weights=caffe --output=features.npz PHOTO.jpg FOLDER
python -m alexnet_tf.features --model_dir=runs/shapes-tiny --layers=conv5,fc6,fc7 --probe

The exit code is 1 if a file could not be read.
"""

from __future__ import annotations

import typing

from absl import flags as absl_flags

from alexnet_tf import app, flags

if typing.TYPE_CHECKING:  # they import TensorFlow, which --help need not wait for
    from alexnet_tf.data.dataset import Split
    from alexnet_tf.evaluation.classifier import Classifier
    from alexnet_tf.evaluation.features import FeatureExtractor
    from alexnet_tf.training.metadata import RunMetadata

_FLAGS = absl_flags.FLAGS


def main(argv: list[str]) -> int:
    """Writes features or probes them; returns 1 if a file could not be read."""
    from alexnet_tf.data.decode_errors import DecodeErrors
    from alexnet_tf.evaluation.features import FeatureExtractor, check_output, write_features
    from alexnet_tf.evaluation.linear_probe import check_sklearn
    from alexnet_tf.system.paths import local_path

    _check_flags(argv)
    output = local_path(_FLAGS.output, "--output") if _FLAGS.output else None
    if output:
        check_output(output)
    if _FLAGS.probe:
        check_sklearn()
    classifier, run = _load()
    extractor = FeatureExtractor(classifier, [name.strip() for name in _FLAGS.layers])
    all_read = True
    if output:
        split, classes = _files(argv) if argv else _dataset(run)
        errors = DecodeErrors(split, 1.0 if argv else _FLAGS.max_unreadable)
        rows = extractor.rows(split, errors, "features", labelled=not argv)
        count = write_features(output, rows, extractor.shapes, classes)
        shapes = ", ".join(f"{n} {list(shape)}" for n, shape in extractor.shapes.items())
        print(f"{output}: {count:,} images, float32: {shapes}")
        if len(errors):
            print(f"left out: {errors}")
        all_read = not (argv and len(errors))
    if _FLAGS.probe:
        _probe(extractor, run)
    return 0 if all_read else 1


def _check_flags(files: list[str]) -> None:
    """Refuses flags that do not go together."""
    from alexnet_tf.system.errors import UserError

    if bool(_FLAGS.model_dir) == bool(_FLAGS.weights):
        received = "both" if _FLAGS.model_dir else "neither"
        raise UserError(f"Expected --model_dir or --weights. Received: {received}")
    if not (_FLAGS.output or _FLAGS.probe):
        raise UserError("Expected --output=FILE.npz, --probe or both. Received: neither")
    if files and (_FLAGS.dataset or _FLAGS.data_dir or _FLAGS.probe):
        raise UserError("Expected image files, or --dataset and --probe. Received: both")
    if _FLAGS.weights and not (files or _FLAGS.dataset):
        raise UserError("Expected --dataset or image files with --weights. Received: neither")


def _load() -> tuple[Classifier, RunMetadata | None]:
    """The network with its preprocessing; of a run also its metadata."""
    from alexnet_tf.applications import IMAGENET_MEAN, find_weights
    from alexnet_tf.evaluation.pretrained import choose_variant, classifier_from_weights
    from alexnet_tf.training.directory import ModelDirectory

    if _FLAGS.model_dir:
        classifier, run, _ = ModelDirectory(_FLAGS.model_dir).load(_FLAGS.checkpoint)
        return classifier, run
    found = find_weights(_FLAGS.weights, _FLAGS.checkpoint)
    variant = choose_variant(found, _FLAGS.variant)
    if not isinstance(variant.preprocessing.mean, tuple):
        print(f"{variant.name} subtracts a mean image; ImageNet's mean colour takes its place")
    return classifier_from_weights(found, variant, IMAGENET_MEAN), None


def _files(arguments: list[str]) -> tuple[Split, tuple[str, ...]]:
    """The images in files and folders, without labels."""
    from alexnet_tf.data.dataset import make_split
    from alexnet_tf.evaluation.prediction import find_images

    paths = [str(path) for path in find_images(arguments)]
    return make_split(paths, [0] * len(paths), "files", files=True), ()


def _where(run: RunMetadata | None) -> tuple[str, str | None, str | None]:
    """Name, data_dir and validation split of the dataset that the flags name, or the run's."""
    if run is None:
        return _FLAGS.dataset, _FLAGS.data_dir, None
    return run.find_dataset(_FLAGS.dataset, _FLAGS.data_dir)


def _dataset(run: RunMetadata | None) -> tuple[Split, tuple[str, ...]]:
    """The split that --split names, or the validation split, and its classes."""
    from alexnet_tf.data.sources import open_split

    name, data_dir, validation = _where(run)
    dataset = open_split(name, data_dir, _FLAGS.split, _FLAGS.max_unreadable, validation)
    return dataset.validation, dataset.classes


def _probe(extractor: FeatureExtractor, run: RunMetadata | None) -> None:
    """Trains a probe for each layer on the training split, and prints the table."""
    from alexnet_tf.data.decode_errors import DecodeErrors
    from alexnet_tf.data.sources import open_dataset
    from alexnet_tf.evaluation.linear_probe import gather, probe

    name, data_dir, validation = _where(run)
    dataset = open_dataset(name, data_dir, _FLAGS.max_unreadable, validation)
    print(dataset.describe())
    found = []
    for split in (dataset.train, dataset.validation):
        errors = DecodeErrors(split, _FLAGS.max_unreadable)
        found.append(gather(extractor.rows(split, errors, f"{split.name} features")))
        if len(errors):
            print(f"{split.name}: left out {errors}")
    (train, train_labels), (test, test_labels) = found
    print(f"\n{'layer':8}{'features':>10}{'top-1':>10}{'C':>8}")
    for layer in extractor.layers:
        accuracy, strength = probe(train[layer], train_labels, test[layer], test_labels)
        size = train[layer].shape[1]
        print(f"{layer:8}{size:>10,}{accuracy:>10.2%}{strength:>8g}", flush=True)


if __name__ == "__main__":
    absl_flags.DEFINE_string("model_dir", None, "a directory that alexnet_tf.train wrote")
    absl_flags.DEFINE_enum(
        "checkpoint", "newest", ["newest", "best"], "best: with the lowest validation error"
    )
    absl_flags.DEFINE_string(
        "weights",
        None,
        "in place of --model_dir: a file of weights, or caffe, caffenet or torchvision",
    )
    absl_flags.DEFINE_string(
        "variant", None, "with --weights: the network; default: the one that the file names"
    )
    absl_flags.DEFINE_list(
        "layers", [], "layers with weights, e.g. conv5,fc6,fc7; default: the last hidden layer"
    )
    absl_flags.DEFINE_string("dataset", None, "default: the dataset the model was trained on")
    absl_flags.DEFINE_string("data_dir", None, "directory of the dataset, as in training")
    flags.define_split()
    absl_flags.DEFINE_string("output", None, "file to write: .npz, or .parquet if pyarrow is there")
    absl_flags.DEFINE_bool(
        "probe",
        False,
        "train a linear classifier on each layer's features of the training split, and print its "
        "top-1 accuracy on the validation split",
    )
    flags.define_as_in_training("max_unreadable")
    app.run(main)
