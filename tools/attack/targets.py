"""The files of each kind, and what the commands do with them.

`make_originals` writes, into a temporary folder:

    stranger/       the working directory: run/, model/1/, datasets/made/1.0.0/, stranger.py
    outside/        victim: must not change, and nothing may be added
    tmp/            of libraries
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import pathlib
import shutil
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from alexnet_tf.data.sources import open_dataset, open_split
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.data.tfds import builder_of_name, checked_keys
from alexnet_tf.models.build import build_model
from alexnet_tf.models.variants import get_variant
from alexnet_tf.serving.loaded_model import LoadedModel
from alexnet_tf.serving.model_card import ModelCard, Validation
from alexnet_tf.serving.saved_model import read_labels
from alexnet_tf.training.directory import ModelDirectory, load_classifier
from alexnet_tf.training.exporting import export_run, exported_steps
from alexnet_tf.training.metadata import RunMetadata
from alexnet_tf.training.options import Options
from tools.attack import graphs, mutations
from tools.attack.mutations import Mutation

_CLASSES = ("blue", "green", "red")
_MADE, _CHECKPOINT = "datasets/made/1.0.0", "run/checkpoints/00000005"
_CODE = "from pathlib import Path\nPath({!r}, 'new').write_text('attacked')\nclass Code: pass\n"


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        path: of the file, in `stranger`.
        mutate: its contents, random numbers and the folder `outside` to a mutation of this kind.
        commands: name to a function of `stranger` that reads the file as the command does.
        seal: repairs checksums after the file has changed, as its author would.
    """

    path: str
    mutate: Callable[[bytes, np.random.Generator, pathlib.Path], bytes]
    commands: dict[str, Callable[[pathlib.Path], object]]
    seal: Callable[[pathlib.Path], None] = lambda stranger: None

    def mutation(
        self, original: bytes, rng: np.random.Generator, outside: pathlib.Path
    ) -> Mutation:
        """Half of them change values, a third bytes, and the rest is no such file at all."""
        kind = rng.integers(12)
        if kind < 2:
            return mutations.other_file(rng, outside)
        if kind < 6:
            return mutations.mutate_bytes(original, rng)
        return self.mutate(original, rng, outside)


def make_originals(root: pathlib.Path, kind: Kind) -> None:
    """Writes a run, a dataset, and the rest of the temporary folder; a SavedModel for its files."""
    for name in ("stranger", "outside", "tmp"):
        (root / name).mkdir()
    outside, stranger = root / "outside", root / "stranger"
    (outside / "victim").write_text("untouched")
    (stranger / "stranger.py").write_text(_CODE.format(str(outside)))
    folder = stranger / _MADE
    _write_dataset(folder)
    metadata, statistics = _run_of(stranger)
    _save_arrays(statistics, folder / "statistics.npz")
    directory = ModelDirectory(stranger / "run")
    directory.path.mkdir()
    directory.write_metadata(metadata)
    _save_arrays(statistics, directory.statistics_path)
    model = build_model(metadata.resolve_variant(), len(_CLASSES))
    directory.checkpoints.save(tf.train.Checkpoint(model=model), 5, None, 2)
    assets = directory.saved_model / "1" / "assets"
    assets.mkdir(parents=True)
    _card(directory).write(assets / "model_card.json", _CLASSES)
    if kind.path.startswith("model/"):  # this takes seconds
        export_run(directory, stranger / "model")


def _save_arrays(statistics: Statistics, path: pathlib.Path) -> None:
    np.savez(path, **dataclasses.asdict(statistics))


def _run_of(stranger: pathlib.Path) -> tuple[RunMetadata, Statistics]:
    variant = get_variant("tiny")
    dataset = str(stranger / _MADE)
    options = dataclasses.asdict(Options(dataset=dataset, batch_size=8))
    metadata = RunMetadata("tiny", variant.activation, _CLASSES, dataset, None, options, examples=9)
    side = variant.preprocessing.image_size
    mean = np.full((side, side, 3), 100, np.float32)
    return metadata, Statistics(mean, np.ones(3, np.float32), np.eye(3, dtype=np.float32))


def _write_dataset(folder: pathlib.Path) -> None:
    folder.mkdir(parents=True)
    image = tf.io.encode_png(np.full((8, 8, 3), 90, np.uint8)).numpy()
    for split in ("train", "val"):
        path = str(folder / f"made-{split}.tfrecord-00000-of-00001")
        with tf.io.TFRecordWriter(path) as file:
            for index in range(9):
                example = tf.train.Example()
                example.features.feature["image"].bytes_list.value.append(image)
                example.features.feature["label"].int64_list.value.append(index % 3)
                file.write(example.SerializeToString())
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(8, 8, 3), encoding_format="png"),
                "label": tfds.features.ClassLabel(names=_CLASSES),
            }
        ),
        split_infos=[
            tfds.core.SplitInfo(name=split, shard_lengths=[9], num_bytes=1)
            for split in ("train", "val")
        ],
        supervised_keys=("image", "label"),
        check_data=False,
    )


def _load(stranger: pathlib.Path) -> None:
    """All that is read of a run, its dataset and its card; not the graphs, which depend on little.

    A graph is the same for every run of a variant with this number of classes.
    """
    directory = ModelDirectory(stranger / "run")
    _, (run,), _ = load_classifier([str(directory.path)])
    directory.find_checkpoint()
    name, data_dir, validation = run.find_dataset(None, None)
    dataset = open_split(name, data_dir, None, 1.0, validation).with_class_order(run.classes)
    print(dataset.name, *dataset.classes[:5])
    _card(directory).write(stranger.parent / "tmp" / "card.json", run.classes)


def _card(directory: ModelDirectory) -> ModelCard:
    """As `alexnet_tf.export` writes it."""
    run, saved = directory.read_metadata(), directory.find_checkpoint()
    validation = Validation(saved.error, saved.top5_error, saved.examples)
    flags = run.options | run.arguments
    return ModelCard(run.resolve_variant(), run.dataset, saved.step, validation, flags)


def _train(stranger: pathlib.Path) -> None:
    """As far as the first step."""
    directory = ModelDirectory(stranger / "run")
    metadata, statistics = _run_of(stranger)
    directory.validation_split()
    with directory.lock():
        directory.begin(metadata, lambda: statistics)
        directory.checkpoints.newest(set_aside=True)


def _open(stranger: pathlib.Path) -> None:
    name = str(stranger / _MADE)
    dataset = open_dataset(name)
    if dataset.statistics:
        Statistics.load(dataset.statistics)
    for split in (dataset.train, open_split(name, None, None, 1.0).validation):
        for _ in split.read(tf.constant(0, tf.int64)).batch(4):
            pass


def _prepare(stranger: pathlib.Path) -> None:
    checked_keys(builder_of_name("made", str(stranger / "datasets"), "--tfds"))


def _serve(stranger: pathlib.Path) -> None:
    model = LoadedModel(stranger / "model")
    model.warm_up()
    json.dumps(model.labels)
    print(model.version, list(model.definitions))


def _labels(stranger: pathlib.Path) -> None:
    labels = read_labels(stranger / "model" / "1")
    print(*labels[:5], json.dumps(labels)[:100])


def _exported(stranger: pathlib.Path) -> None:
    exported_steps(ModelDirectory(stranger / "run"))


def _mutate_sealed(data: bytes, rng: np.random.Generator, outside: pathlib.Path) -> bytes:
    """A manifest with the checksum of its own contents."""
    content = mutations.mutate_json(data.partition(b"\n")[2], rng, outside)
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def _seal_checkpoint(stranger: pathlib.Path) -> None:
    folder = stranger / _CHECKPOINT
    path = folder / "manifest.json"
    content = json.loads(path.read_bytes().partition(b"\n")[2])
    for name, entry in content["files"].items():
        with contextlib.suppress(OSError):
            if (folder / name).is_file() and (folder / name).stat().st_size < 2**26:
                data = (folder / name).read_bytes()
                entry |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    text = json.dumps(content).encode()
    path.write_bytes(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)


def _graph(data: bytes, rng: np.random.Generator, outside: pathlib.Path) -> bytes:
    return graphs.mutate_graph(data, rng, str(outside))[0]


def _bytes(data: bytes, rng: np.random.Generator, outside: pathlib.Path) -> bytes:
    del outside
    return mutations.mutate_bytes(data, rng)


_LOADERS = {"evaluate, predict, export, figures, convert": _load}
_OF_A_RUN = {**_LOADERS, "train": _train}
_OF_DATA = {"train, evaluate, figures, doctor": _open, "prepare": _prepare}
KINDS = {
    "run card": Kind("run/model.json", mutations.mutate_json, _OF_A_RUN),
    "manifest": Kind(f"{_CHECKPOINT}/manifest.json", _mutate_sealed, _OF_A_RUN),
    "checkpoint index": Kind(f"{_CHECKPOINT}/variables.index", _bytes, _LOADERS, _seal_checkpoint),
    "statistics": Kind("run/statistics.npz", mutations.mutate_arrays, _OF_A_RUN),
    "a dataset's statistics": Kind(
        f"{_MADE}/statistics.npz", mutations.mutate_arrays, {"train": _open}
    ),
    "features.json": Kind(f"{_MADE}/features.json", mutations.mutate_json, _OF_DATA),
    "dataset_info.json": Kind(f"{_MADE}/dataset_info.json", mutations.mutate_json, _OF_DATA),
    "a dataset's labels": Kind(f"{_MADE}/label.labels.txt", mutations.mutate_names, _OF_DATA),
    "model card": Kind(
        "run/saved_model/1/assets/model_card.json", mutations.mutate_json, {"train": _exported}
    ),
    "saved_model.pb": Kind("model/1/saved_model.pb", _graph, {"predict, serve": _serve}),
    "a model's labels": Kind(
        "model/1/assets/labels.txt", mutations.mutate_names, {"predict, serve": _labels}
    ),
}


def place(kind: Kind, stranger: pathlib.Path, mutation: Mutation) -> None:
    """Puts a mutation in the place of the file."""
    path = stranger / kind.path
    path.unlink()
    if isinstance(mutation, bytes):
        path.write_bytes(mutation)
    else:
        mutation(path)
    kind.seal(stranger)


class Restorer:
    """Brings a folder back to its first state.

    Args:
        folder: that changes.
        copy: where its first state is kept.
    """

    def __init__(self, folder: pathlib.Path, copy: pathlib.Path):
        self._folder, self._copy = folder, copy
        shutil.copytree(folder, copy)
        self._state = self._look()

    def restore(self) -> None:
        """Copies what has changed, and removes what was added."""
        now = self._look()
        changed = sorted(
            name for name in {*now, *self._state} if now.get(name) != self._state.get(name)
        )
        for name in changed:
            path = self._folder / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        for name in changed:
            if (self._copy / name).is_dir():
                (self._folder / name).mkdir(exist_ok=True)
            elif name in self._state:
                shutil.copy2(self._copy / name, self._folder / name)
        if changed:
            self._state = self._look()

    def _look(self) -> dict[str, tuple]:
        found = {}
        for folder, folders, names in os.walk(self._folder):
            for name in (*folders, *names):
                path = os.path.join(folder, name)
                status = os.lstat(path)
                kind = status.st_mode >> 12
                facts = (kind,) if kind == 4 else (kind, status.st_size, status.st_mtime_ns)
                found[os.path.relpath(path, self._folder)] = facts
        return found


@contextlib.contextmanager
def silent() -> contextlib.AbstractContextManager[io.StringIO]:
    """Collects everything that is printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        yield printed
