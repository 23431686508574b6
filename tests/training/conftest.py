"""What the tests of training share."""

import pytest

from tests.folders import write_folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Forty training and twenty validation images; a test that changes them makes a copy."""
    return str(write_folder(tmp_path_factory.mktemp("images")))
