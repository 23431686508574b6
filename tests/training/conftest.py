"""What the tests of training share."""

import signal

import pytest

from tests.folders import write_folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Forty training and twenty validation images; a test that changes them makes a copy."""
    return str(write_folder(tmp_path_factory.mktemp("images")))


@pytest.fixture
def hangups():
    """SIGHUP as a terminal's processes have it, also where the tests themselves run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)
