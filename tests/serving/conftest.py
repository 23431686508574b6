import pytest

from alexnet_tf.serving.loaded_model import LoadedModel
from alexnet_tf.serving.saved_model import export
from tests.serving.servable import make_card, make_classifier
from tools.server_process import serving


@pytest.fixture(scope="session")
def classifier():
    return make_classifier()


@pytest.fixture(scope="session")
def exported(classifier, tmp_path_factory):
    """BASE/1 of a SavedModel of `classifier`."""
    return export(classifier, tmp_path_factory.mktemp("models") / "alexnet", make_card())


@pytest.fixture(scope="session")
def loaded(exported):
    model = LoadedModel(exported)
    model.warm_up()
    return model


@pytest.fixture(scope="session")
def server(exported):
    """`alexnet_tf.serve` in a process, for tests that do not change it."""
    pytest.importorskip("starlette", reason="needs the extra `serve`")
    flags = ("--max_request_mb=1", "--timeout=20", "--allowed_hosts=127.0.0.1,Photos.example")
    with serving(exported.parent, *flags) as served:
        yield served
