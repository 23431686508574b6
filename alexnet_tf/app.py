"""The frame of every entry point: quiet start, one-line errors, exit codes.

Exit codes: 0 done; 1 a wrong flag or another error that the user can correct; 75 another worker of
the run was lost; 129, 130 or 143 stopped by a signal.
"""

from __future__ import annotations

import ast
import contextlib
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator

from absl import app, flags, logging

from alexnet_tf import flagfiles
from alexnet_tf.system.environment import (
    FATAL_FOR_IMPORT,
    FATAL_FOR_USE,
    check_determinism_variable,
    check_fatal_variables,
    hold_back_stderr,
    ignore_warnings,
    use_utf8,
)
from alexnet_tf.system.errors import UserError, damage_of_data
from alexnet_tf.system.keras_setup import (
    check_backend,
    reset_formats,
    without_defaults_of_user,
)
from alexnet_tf.system.paths import local_path
from alexnet_tf.system.processes import schedulable_cores, usable_cores
from alexnet_tf.system.text import printable, protect_outputs

_LONGEST = 10_000  # characters of an error
_PATHS = (  # flags of any entry point that name a file or a directory
    *("model_dir", "saved_model", "dataset", "data_dir", "output", "json", "csv", "photo"),
    *("compare", "val_labels", "mean", "inputs", "logits", "init_from", "weights"),
)


def run(
    main: Callable[[list[str]], int | None],
    needs_tensorflow: Callable[[], bool] = lambda: True,
    flags_only: bool = False,
) -> None:
    """Parses the flags, calls `main` with the arguments that are left, and exits.

    Args:
        main: returns the exit code, or None for 0.
        needs_tensorflow: called after the flags are parsed; importing TensorFlow takes seconds.
        flags_only: whether any other argument is an error.
    """

    def checked(arguments: list[str]) -> int | None:
        """`main`, after a check for arguments that it does not take."""
        if flags_only and arguments:
            raise UserError(f"Expected flags only. Received: {arguments[0]}")
        return main(arguments)

    def needs_tensorflow_now() -> bool:
        """Called after the flags are parsed, and before TensorFlow takes its seconds."""
        _check_paths()
        return needs_tensorflow()

    use_utf8()
    protect_outputs()
    ignore_warnings()
    app.run(lambda argv: _guarded(checked, argv, needs_tensorflow_now), flags_parser=_parse)


def _parse(argv: list[str]) -> list[str]:
    """Parses the flags as absl does, but reports a wrong flag in one line."""
    with _exit_codes():
        try:
            if _wants_help(argv):
                app.parse_flags_with_usage(argv)  # prints and exits, with absl's exit code 1
            return flags.FLAGS([argv[0], *flagfiles.expand(argv[1:], "recipe" in flags.FLAGS)])
        except SystemExit:
            sys.stdout.flush()
            sys.exit(0)
        except UserError:
            raise
        except (flags.Error, ValueError) as error:  # absl raises the second for --noexport=true
            text = str(error).removeprefix("ERROR:: ")
            # absl prints lists in Python's notation; on the command line they have commas.
            text = re.sub(r"=(\['.*?'\]):", lambda m: f"={','.join(ast.literal_eval(m[1]))}:", text)
            _print_error(f"{text} (--help lists the flags)")
            sys.exit(1)


def _check_paths() -> None:
    """Refuses URLs, and home directories of nobody, in every flag that names a path."""
    for name in _PATHS:
        value = flags.FLAGS[name].value if name in flags.FLAGS else None
        for path in value if isinstance(value, list) else [value]:
            if path and not (name == "dataset" and path in ("shapes", "folder")):
                local_path(path, f"--{name}")


def _wants_help(argv: list[str]) -> bool:
    return any(argument.lstrip("-").startswith("help") for argument in argv[1:])


def _guarded(
    main: Callable[[list[str]], int | None], argv: list[str], needs_tensorflow: Callable[[], bool]
) -> None:
    with _exit_codes():
        logging.set_verbosity(logging.ERROR)  # of TensorFlow and TFDS; ours is printed
        if needs_tensorflow():
            import_tensorflow_quietly()
        code = main(argv[1:]) or 0
        sys.stdout.flush()  # a full disk is an error, not a note of Python's at its end
        sys.exit(code)


@contextlib.contextmanager
def _exit_codes() -> Iterator[None]:
    """Context that turns what a user can correct into one line, and exits."""
    try:
        yield
    except UserError as error:
        _print_error(str(error))
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of our output has ended, as `head` does
        sys.exit(128 + signal.SIGPIPE)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            _print_error(f"{error.filename}: {error.strerror}")
            sys.exit(1)
        damage = damage_of_data(error)
        if damage is None:
            raise
        _print_error(damage)
        sys.exit(1)


def _print_error(text: str) -> None:
    """Prints an error in one line, whatever a file is called that it names."""
    shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
    print(f"error: {printable(shown)}", file=sys.stderr)


def import_tensorflow_quietly() -> None:
    """Imports TensorFlow without the lines that its C++ part prints before logging is set up.

    They are shown only if the import fails. Later TensorFlow prints as much as
    TF_CPP_MIN_LOG_LEVEL says, by default nothing: its errors are exceptions, too, except those
    about damaged images, which the package counts.

    Raises:
        UserError: the environment names another backend for Keras, or has a value that would end
            the process.
    """
    if not os.environ.get("TF_CPP_MIN_LOG_LEVEL", "").isdecimal():
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    # Intel's convolutions. By default TensorFlow uses them only on CPUs with AVX-512 VNNI, but a
    # training step is 1.5 to 1.9 times as fast with them on an AMD CPU with AVX2.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    check_backend()
    check_determinism_variable()
    sys.stderr.flush()
    with hold_back_stderr(), without_defaults_of_user():
        check_fatal_variables(FATAL_FOR_IMPORT, _use_tensorflow)
        import tensorflow as tf

        check_fatal_variables(FATAL_FOR_USE, _use_tensorflow)
        # Keras imports matplotlib, if it is installed, for drawings of its own: half a second.
        absent = sys.modules.setdefault("matplotlib", None) is None
        try:
            reset_formats()
        finally:
            if absent:
                del sys.modules["matplotlib"]
        quota = usable_cores()
        if quota < schedulable_cores():  # TensorFlow knows nothing of a container's quota
            with contextlib.suppress(RuntimeError):  # it is in use already
                tf.config.threading.set_intra_op_parallelism_threads(quota)
                tf.config.threading.set_inter_op_parallelism_threads(quota)
        tf.config.list_physical_devices()  # looks for GPUs, and logs several lines without one


def _use_tensorflow() -> None:
    import tensorflow as tf

    tf.function(lambda: tf.zeros([]), jit_compile=True)()
