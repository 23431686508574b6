"""The environment variables of a command, made fit for Python and TensorFlow. Imports neither."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator

from alexnet_tf.system.errors import UserError

_DETERMINISM = "TF_DETERMINISTIC_OPS"
# With a wrong value of one of them TensorFlow's C++ part ends the process: when it is imported, or
# when it is first used.
FATAL_FOR_IMPORT = ("TF_XLA_FLAGS",)
FATAL_FOR_USE = ("XLA_FLAGS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def use_utf8() -> None:
    """Starts this process again in Python's UTF-8 mode if the locale is another one.

    TensorFlow takes all names of files as UTF-8. In another locale the two would write one file
    under two names, or fail. In the C locale Python chooses UTF-8 itself, unless told otherwise.
    """
    hopeless = os.environ.get("PYTHONUTF8") == "1" or not sys.executable
    if hopeless or sys.flags.utf8_mode or sys.getfilesystemencoding() == "utf-8":
        return
    os.environ["PYTHONUTF8"] = "1"
    if sys.stdout and sys.stdout.encoding:  # what the terminal can show stays the same
        os.environ.setdefault("PYTHONIOENCODING", sys.stdout.encoding)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def ignore_warnings() -> None:
    """Hides warnings for developers, here and in child processes.

    PYTHONWARNINGS=error would turn one in any library into an error.
    """
    os.environ.pop("PYTHONWARNINGS", None)
    # Python takes these out itself for a child process, and fails if they are missing.
    by_flags = ("default", "default::BytesWarning", "error::BytesWarning")
    sys.warnoptions[:] = [each for each in sys.warnoptions if each in by_flags]
    warnings.simplefilter("ignore")


def check_determinism_variable() -> None:
    """Checks TF_DETERMINISTIC_OPS, with a wrong value of which TensorFlow ends the process.

    Raises:
        UserError: it is neither 0 nor 1, nor true or false.
    """
    value = os.environ.get(_DETERMINISM)
    if value == "":
        del os.environ[_DETERMINISM]
    elif value is not None and value.lower() not in ("0", "1", "true", "false"):
        raise UserError(
            f"Expected the environment variable {_DETERMINISM} to be 0 or 1. Received: {value}"
        )


def check_fatal_variables(names: tuple[str, ...], try_them: Callable[[], object]) -> None:
    """Tries TensorFlow in a copy of this process, if a variable is set that might end it.

    Only TensorFlow knows which values it accepts. To use it in the copy takes 0.2 s.

    Args:
        names: of the variables.
        try_them: called in the copy, whose GPUs are hidden. This process must not have used
            TensorFlow yet: the copy would lack its threads.

    Raises:
        UserError: the copy ended.
    """
    found = [f"{name}={os.environ[name]}" for name in names if os.environ.get(name)]
    if not found or not hasattr(os, "fork"):
        return
    reader, writer = os.pipe()
    process = os.fork()
    if not process:
        try:
            faulthandler.disable()
            os.dup2(writer, 2)
            os.close(writer)
            os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
            try_them()
        finally:
            os._exit(0)  # an exception occurs in this process as well, and is reported there
    os.close(writer)
    with open(reader, encoding="utf-8", errors="replace") as output:
        text = output.read()
    if os.waitpid(process, 0)[1]:
        reason = re.search(r"^F\d{4} .*?\] *(.*?) *$", text, re.MULTILINE)
        raise UserError(
            f"TensorFlow ends with these environment variables: {', '.join(found)}. Correct them, "
            "or unset them" + (f" ({reason[1]})" if reason else "")
        )


@contextlib.contextmanager
def hold_back_stderr() -> Iterator[None]:
    """Context whose output on file descriptor 2 is shown only if an unknown exception ends it.

    C++ code prints there, out of Python's reach.
    """
    with contextlib.ExitStack() as stack:
        try:
            kept_back = stack.enter_context(tempfile.TemporaryFile())
        except OSError:  # no folder for temporary files can be written
            kept_back = None
        if kept_back is None:
            yield
            return
        stderr = os.dup(2)
        os.dup2(kept_back.fileno(), 2)
        try:
            yield
        except UserError:  # says all that there is to know
            raise
        except BaseException:
            kept_back.seek(0)
            with contextlib.suppress(OSError):
                os.write(stderr, kept_back.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
