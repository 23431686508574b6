import pytest

from alexnet_tf.training.run import train
from tests.figures.contexts import make_context
from tests.folders import write_folder
from tests.training.short_runs import options


@pytest.fixture(scope="session")
def context():
    return make_context()


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory):
    """A run of 40 steps, its rate divided by ten at the 20th."""
    folder = write_folder(tmp_path_factory.mktemp("images"))
    path = tmp_path_factory.mktemp("runs") / "short"
    train(options(str(folder), path, epochs=8.0, decay_epochs=(4.0,), validate_every=2.0))
    return path
