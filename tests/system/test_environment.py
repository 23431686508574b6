"""Unusual environments of commands."""

import os
import subprocess
import sys
import tempfile

import pytest

from alexnet_tf.system.environment import check_fatal_variables, hold_back_stderr
from alexnet_tf.system.errors import UserError
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


def test_an_error_of_the_user_needs_no_messages_of_c_code(capfd):
    with pytest.raises(UserError), hold_back_stderr():
        print_in_c("hidden")
        raise UserError("one line")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("end", [os.abort, lambda: os._exit(1)])
def test_a_value_with_which_tensorflow_ends_the_process_is_refused(monkeypatch, capfd, end):
    def try_it():
        print_in_c("I0000 00:00:1 2 a.cc:3] hello\nF0000 00:00:1 2 b.cc:4] Unknown flag: x \n")
        end()

    monkeypatch.setenv("XLA_FLAGS", "x")
    with pytest.raises(UserError, match=r"variables: XLA_FLAGS=x\. .* \(Unknown flag: x\)$"):
        check_fatal_variables(("XLA_FLAGS", "TF_XLA_FLAGS"), try_it)
    assert capfd.readouterr().err == ""
    check_fatal_variables(("XLA_FLAGS",), lambda: None)
    check_fatal_variables(("XLA_FLAGS",), lambda: 1 / 0)  # happens again, outside of the copy
    check_fatal_variables(("TF_XLA_FLAGS",), end)  # is not set


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["TF_XLA_FLAGS=--none", "TF_NUM_INTRAOP_THREADS=-3"])
def test_tensorflow_itself_ends_with_such_a_value(variable):
    name, _, value = variable.partition("=")
    code = "from alexnet_tf import app; app.run(print)"
    done = run("-c", code, **{"XLA_FLAGS": "", name: value})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: TensorFlow ends with these environment variables: ")
    assert variable in done.stderr and done.stderr.count("\n") == 1


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


@pytest.mark.parametrize("option", ["-Xdev", "-bb"])
def test_child_processes_start_in_any_mode_of_python(option):
    code = (
        "import subprocess\nfrom alexnet_tf import app\n"
        "app.run(lambda argv: print(subprocess._args_from_interpreter_flags()), "
        "needs_tensorflow=lambda: False)"
    )
    done = run(option, "-c", code, PYTHONWARNINGS="error")
    assert done.returncode == 0 and "error" not in done.stdout, done.stderr


@pytest.mark.parametrize("name", ["figures", "train"])
def test_help_needs_no_docstrings(name):
    done = run("-OO", "-m", f"alexnet_tf.{name}", "--help")
    assert done.returncode == 0 and "--model_dir" in done.stdout, done.stderr
