"""A run, a SavedModel and a prepared dataset that version 0.1 wrote are still read."""

import json
import pathlib
import shutil
import tarfile

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.data.sources import open_dataset
from alexnet_tf.training.directory import ModelDirectory
from alexnet_tf.training.options import Options
from alexnet_tf.training.run import train

# Sums of float32 come out a little different on another CPU; here they are equal to the bit.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The extracted files; `expected.json` holds what version 0.1 computed with them."""
    folder = tmp_path_factory.mktemp("files")
    with tarfile.open(pathlib.Path(__file__).with_name("made_by_0.1.tar.xz")) as archive:
        archive.extractall(folder, filter="data")
    path = folder / "run" / "model.json"
    values = json.loads(path.read_text())
    # The run was made in the folder of the dataset and named it by a relative path.
    path.write_text(json.dumps({**values, "dataset": str(folder / "prepared")}))
    return folder


@pytest.fixture(scope="module")
def expected(files):
    return json.loads((files / "expected.json").read_text())


def ten_views(files, classify):
    """Probabilities of the photograph, float32 [classes]."""
    encoded = tf.constant([(files / "photo.jpg").read_bytes()])
    return classify(encoded)[0].numpy()


def test_the_dataset_is_opened(files):
    dataset = open_dataset(str(files / "prepared"))
    assert (dataset.train.examples, dataset.validation.examples) == (20, 10)
    assert len(dataset.classes) == 10 and dataset.statistics is not None


def test_the_run_is_loaded(files, expected):
    classifier, metadata, saved = ModelDirectory(files / "run").load()
    assert (metadata.variant, saved.step, metadata.options["seed"]) == ("tiny", 7, 3)
    assert metadata.options["steps_per_execution"] == 1  # named steps_per_call in the file

    def classify(encoded):
        images, readable = classifier.decode(encoded)
        assert readable.numpy().all()
        return classifier.probabilities(images, views=10)

    found = ten_views(files, classify)
    np.testing.assert_allclose(found, expected["probabilities"], rtol=TOLERANCE)


def test_the_saved_model_is_served(files, expected):
    model = tf.saved_model.load(str(files / "saved_model"))
    (name,) = model.signatures["ten_view"].structured_input_signature[1]

    def classify(encoded):
        outputs = model.signatures["ten_view"](**{name: encoded})
        return outputs["probabilities"]

    outputs = ten_views(files, classify)
    np.testing.assert_allclose(outputs, expected["probabilities"], rtol=TOLERANCE)


def test_the_run_is_resumed(files, expected, tmp_path, capsys):
    shutil.copytree(files / "run", tmp_path / "run")
    result = train(
        Options(
            model_dir=str(tmp_path / "run"),
            dataset=str(files / "prepared"),
            batch_size=4,
            seed=3,
            learning_rate=0.005,
            decay_epochs=(),
            validate_every=1.0,
            steps=12,
            export=False,
        )
    )
    printed = capsys.readouterr().out
    assert "Resuming after step 7" in printed
    assert printed.count("Changed since the last start") == 1  # names alone are no change
    evaluation = result.evaluation
    assert result.step == expected["step"]
    found = [evaluation.top1_error, evaluation.top5_error, evaluation.loss]
    np.testing.assert_allclose(found, expected["validation"], rtol=TOLERANCE)
    norms = {
        variable.path: np.linalg.norm(variable.numpy().ravel().astype(np.float64))
        for variable in result.classifier.model.trainable_variables
    }
    assert norms.keys() == expected["norms"].keys()
    for path, norm in norms.items():
        np.testing.assert_allclose(norm, expected["norms"][path], rtol=TOLERANCE, err_msg=path)
