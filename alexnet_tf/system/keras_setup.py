"""Keras as this package needs it: on TensorFlow, with its usual number and image formats.

`~/.keras/keras.json` (or `$KERAS_HOME/keras.json`) holds one user's defaults for all programs.
This module keeps them from changing what the package computes. It imports neither TensorFlow nor
Keras itself.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

from alexnet_tf.system.errors import UserError


def choose_backend() -> None:
    """Makes Keras run on TensorFlow, unless the environment names another backend.

    The backend in keras.json is a default for all programs and gives way. KERAS_BACKEND is meant
    for this process and stays; `check_backend` tells the user if it cannot work.
    """
    if not os.environ.get("KERAS_BACKEND"):  # an empty one names none
        os.environ["KERAS_BACKEND"] = "tensorflow"


def check_backend() -> None:
    """Checks that Keras runs on TensorFlow, or will if it has not been imported.

    Raises:
        UserError: it is another backend.
    """
    if "keras" in sys.modules:
        backend = sys.modules["keras"].config.backend()
    else:
        backend = os.environ.get("KERAS_BACKEND")
    if backend != "tensorflow":
        raise UserError(
            "alexnet_tf needs Keras on TensorFlow. Expected the environment variable "
            f"KERAS_BACKEND=tensorflow or none. Received backend: {backend}"
        )


@contextlib.contextmanager
def without_defaults_of_user() -> Iterator[None]:
    """Context in which an import of Keras neither reads nor writes keras.json.

    TensorFlow holds a second copy of Keras, which reads the file as well. Both end with a trace
    where it is no JSON object, has an unknown floatx, or may not be read; so does Keras if
    KERAS_MAX_EPOCHS is no number.
    """
    names = ("KERAS_HOME", "KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH")
    before = {name: os.environ.pop(name, None) for name in names}
    os.environ["KERAS_HOME"] = os.devnull  # no file can be below it
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def reset_formats() -> None:
    """Sets Keras's floatx, epsilon and image format to their defaults, for a whole process.

    The commands call it, because a command owns its process. `AlexNet` does not need it: every
    layer is told its formats.
    """
    import keras

    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")


def after_import(name: str, action: Callable[[], None]) -> None:
    """Runs an action once a top-level package has been imported; at once if it has been already.

    `wrapt.when_imported` does the same, but importing it takes longer than `--help` may take.

    Args:
        name: of the package, such as "keras".
        action: runs in the thread that imports the package. An exception in it makes that import
            fail.
    """
    if name in sys.modules:
        action()
    else:
        sys.meta_path.insert(0, _Finder(name, action))


class _Finder:
    """Asks Python's other finders for one package, and adds the action to its loading."""

    def __init__(self, name: str, action: Callable[[], None]):
        self.name, self.action = name, action

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The package's own spec; None for any other module."""
        if name != self.name:
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        found = (finder.find_spec(name, path, target) for finder in others)
        spec = next((spec for spec in found if spec), None)
        if spec and spec.loader:
            spec.loader.exec_module = self._with_action(spec.loader.exec_module)
        return spec

    def _with_action(self, execute: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
        def execute_then_act(module: ModuleType) -> None:
            """Loads the package. If that fails, the finder stays for the next try."""
            execute(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            self.action()

        return execute_then_act
