"""Unusual environments of commands."""

import os
import subprocess
import sys
import tempfile

import pytest

from alexnet_tf.system.environment import hold_back_stderr
from tests.commands import ROOT


def print_in_c(text):
    """As C++ code prints, to file descriptor 2."""
    os.write(2, text.encode())


def test_messages_of_c_code_are_shown_only_after_an_error(capfd):
    with hold_back_stderr():
        print_in_c("hidden")
    with pytest.raises(ZeroDivisionError), hold_back_stderr():
        print_in_c("shown")
        _ = 1 / 0
    assert capfd.readouterr().err == "shown"


def test_a_machine_without_a_folder_for_temporary_files_will_do(monkeypatch, capfd):
    with monkeypatch.context() as within:  # pytest needs one itself
        within.setattr(tempfile, "tempdir", "/no/such/folder")
        with hold_back_stderr():
            print_in_c("shown")
    assert capfd.readouterr().err == "shown"


def test_a_value_with_which_tensorflow_ends_the_process_hides_no_message(monkeypatch, capfd):
    monkeypatch.setenv("TF_XLA_FLAGS", "--no_such_flag")
    with hold_back_stderr():
        print_in_c("shown")
    assert capfd.readouterr().err == "shown"


def run(*command, **environment):
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=60,
        env={**os.environ, **environment},
    )  # fmt: skip


def test_warnings_of_libraries_are_no_errors():
    code = (
        "import os, warnings\nfrom alexnet_tf import app\n"
        "def main(argv):\n"
        "    warnings.warn('old')\n    print('words', os.environ.get('PYTHONWARNINGS'))\n"
        "app.run(main, needs_tensorflow=lambda: False)"
    )
    done = run("-c", code, PYTHONWARNINGS="error")
    assert (done.returncode, done.stdout, done.stderr) == (0, "words None\n", "")


@pytest.mark.parametrize("name", ["figures", "train"])
def test_help_needs_no_docstrings(name):
    done = run("-OO", "-m", f"alexnet_tf.{name}", "--help")
    assert done.returncode == 0 and "--model_dir" in done.stdout, done.stderr
