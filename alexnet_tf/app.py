"""The frame of every entry point: quiet start, one-line errors, exit codes.

Exit codes: 0 done; 1 a wrong flag or another error that the user can correct; 75 another worker of
the run was lost; 129, 130 or 143 stopped by a signal.
"""

from __future__ import annotations

import ast
import io
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable

from absl import app, flags, logging

from alexnet_tf import flagfiles
from alexnet_tf.system.errors import UserError, damage_of_data
from alexnet_tf.system.keras_setup import check_backend, reset_formats
from alexnet_tf.system.paths import local_path

_PATHS = (  # flags of any entry point that name a file or a directory
    *("model_dir", "saved_model", "dataset", "data_dir", "output", "json", "csv", "photo"),
    *("compare", "val_labels"),
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
        if flags_only and arguments:
            raise UserError(f"Expected flags only. Received: {arguments[0]}")
        return main(arguments)

    def needs_tensorflow_now() -> bool:
        """Called after the flags are parsed, and before TensorFlow takes its seconds."""
        _check_paths()
        return needs_tensorflow()

    app.run(lambda argv: _guarded(checked, argv, needs_tensorflow_now), flags_parser=_parse)


def _parse(argv: list[str]) -> list[str]:
    """Parses the flags as absl does, but reports a wrong flag in one line."""
    try:
        if _wants_help(argv):
            app.parse_flags_with_usage(argv)  # prints and exits, with absl's exit code 1
        return flags.FLAGS([argv[0], *flagfiles.expand(argv[1:], "recipe" in flags.FLAGS)])
    except SystemExit:
        sys.exit(0)
    except flags.Error as error:
        text = str(error).removeprefix("ERROR:: ")
        # absl prints lists in Python's notation; on the command line they have commas.
        text = re.sub(r"=(\['.*?'\]):", lambda m: f"={','.join(ast.literal_eval(m[1]))}:", text)
        print(f"error: {text} (--help lists the flags)", file=sys.stderr)
        sys.exit(1)


def _check_paths() -> None:
    """Refuses URLs, and home directories of nobody, in every flag that names a path."""
    for name in _PATHS:
        value = flags.FLAGS[name].value if name in flags.FLAGS else None
        for path in value if isinstance(value, list) else [value]:
            if path:
                local_path(path, f"--{name}")


def _wants_help(argv: list[str]) -> bool:
    return any(argument.lstrip("-").startswith("help") for argument in argv[1:])


def _guarded(
    main: Callable[[list[str]], int | None], argv: list[str], needs_tensorflow: Callable[[], bool]
) -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names may be any bytes
    try:
        logging.set_verbosity(logging.ERROR)  # of TensorFlow and TFDS; ours is printed
        if needs_tensorflow():
            import_tensorflow_quietly()
        sys.exit(main(argv[1:]) or 0)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of our output has ended, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            name = str(error.filename).replace("\n", "\\n")
            print(f"error: {name}: {error.strerror}", file=sys.stderr)
            sys.exit(1)
        damage = damage_of_data(error)
        if damage is None:
            raise
        print(f"error: {damage}", file=sys.stderr)
        sys.exit(1)


def import_tensorflow_quietly() -> None:
    """Imports TensorFlow without the lines that its C++ part prints before logging is set up.

    They go to file descriptor 2, out of Python's reach, and are shown only if the import fails.
    Later TensorFlow prints errors, or as much as TF_CPP_MIN_LOG_LEVEL says.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Intel's convolutions. By default TensorFlow uses them only on CPUs with AVX-512 VNNI, but a
    # training step is 1.5 to 1.9 times as fast with them on an AMD CPU with AVX2.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    check_backend()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as kept_back:
        stderr = os.dup(2)
        os.dup2(kept_back.fileno(), 2)
        try:
            import tensorflow as tf

            reset_formats()

            tf.config.list_physical_devices()  # looks for GPUs, and logs several lines without one
        except Exception:
            kept_back.seek(0)
            os.write(stderr, kept_back.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
