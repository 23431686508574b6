"""Importing Keras: which backend it gets, and what happens right after."""

import importlib
import importlib.util
import os
import subprocess
import sys

import keras
import pytest

import alexnet_tf
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.keras_setup import (
    after_import,
    check_backend,
    choose_backend,
    reset_formats,
)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The name of a package that can be imported and has not been."""
    name = "imported_by_test_keras_setup"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("state = ['loaded']\n")
    (tmp_path / name / "inner.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    for module in [module for module in sys.modules if module.startswith(name)]:
        del sys.modules[module]


def test_an_action_runs_once_right_after_the_import(package):
    finders = list(sys.meta_path)
    seen = []
    after_import(package, lambda: seen.append(list(sys.modules[package].state)))
    assert importlib.util.find_spec(package) and not seen  # a look is no import
    importlib.import_module(f"{package}.inner")
    assert seen == [["loaded"]]
    assert sys.meta_path == finders
    importlib.import_module(package)
    assert len(seen) == 1


def test_an_action_runs_at_once_for_what_is_imported_already(package):
    importlib.import_module(package)
    seen = []
    after_import(package, lambda: seen.append(1))
    assert seen == [1]


def test_an_import_that_fails_can_be_tried_again(package, tmp_path):
    module = tmp_path / package / "__init__.py"
    text = module.read_text()
    module.write_text("import no_such_module_anywhere")
    seen = []
    after_import(package, lambda: seen.append(1))
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(package)
    assert not seen
    module.write_text(text)
    importlib.invalidate_caches()
    importlib.import_module(package)
    assert seen == [1]


def test_the_backend_is_tensorflow_unless_the_environment_says_otherwise(monkeypatch):
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    choose_backend()
    assert os.environ["KERAS_BACKEND"] == "tensorflow"
    check_backend()
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    choose_backend()
    with pytest.raises(UserError, match="KERAS_BACKEND=tensorflow or none. Received backend: jax"):
        check_backend()


def test_a_command_undoes_the_formats_of_keras_json():
    keras.config.set_floatx("float16")
    keras.config.set_image_data_format("channels_first")
    reset_formats()
    assert (keras.config.floatx(), keras.config.image_data_format()) == ("float32", "channels_last")
    assert keras.config.epsilon() == 1e-7


@pytest.mark.slow
def test_a_command_needs_no_sound_keras_json(tmp_path):
    (tmp_path / "keras.json").write_text('[{"floatx": "int8"}]')
    code = (
        "from alexnet_tf import app; import os; app.run(lambda _: print(os.environ['KERAS_HOME']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True,
        env={**os.environ, "KERAS_HOME": str(tmp_path), "KERAS_MAX_EPOCHS": "all"},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == (f"{tmp_path}\n", "")


def test_importing_the_package_imports_neither_keras_nor_tensorflow():
    code = (
        "import sys, alexnet_tf; assert dir(alexnet_tf) and alexnet_tf.variants(); "
        "print({'keras', 'tensorflow', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
    assert {"AlexNet", "variants", "__version__"} <= set(dir(alexnet_tf))
