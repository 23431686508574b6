import pytest

from alexnet_tf.serving.loaded_model import LoadedModel
from alexnet_tf.serving.saved_model import export
from tests.serving.servable import make_card, make_classifier


@pytest.fixture(scope="session")
def classifier():
    return make_classifier()


@pytest.fixture(scope="session")
def exported(classifier, tmp_path_factory):
    """BASE/1 of a SavedModel of `classifier`."""
    return export(classifier, tmp_path_factory.mktemp("models") / "alexnet", make_card())


@pytest.fixture(scope="session")
def loaded(exported):
    return LoadedModel(exported)
