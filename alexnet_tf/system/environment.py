"""The environment variables of a command, made fit for Python and TensorFlow. Imports neither."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator

from alexnet_tf.system.errors import UserError

_DETERMINISM = "TF_DETERMINISTIC_OPS"
# With a wrong value TensorFlow ends the process in C++, and says so only on standard error.
_FATAL = "TF_XLA_FLAGS"


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
    sys.warnoptions.clear()
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


@contextlib.contextmanager
def hold_back_stderr() -> Iterator[None]:
    """Context whose output on file descriptor 2 is shown only if an exception ends it.

    C++ code prints there, out of Python's reach.
    """
    with contextlib.ExitStack() as stack:
        try:
            kept_back = (
                None if os.environ.get(_FATAL) else stack.enter_context(tempfile.TemporaryFile())
            )
        except OSError:  # no folder for temporary files can be written
            kept_back = None
        if kept_back is None:
            yield
            return
        stderr = os.dup(2)
        os.dup2(kept_back.fileno(), 2)
        try:
            yield
        except BaseException:
            kept_back.seek(0)
            with contextlib.suppress(OSError):
                os.write(stderr, kept_back.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
