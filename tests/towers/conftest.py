"""The tests of towers train on the images of the tests of training."""

from tests.training.conftest import folder  # noqa: F401 - a fixture
