"""AlexNet (Krizhevsky, Sutskever, Hinton, 2012) in TensorFlow 2 and Keras 3.

    import alexnet_tf
    model = alexnet_tf.AlexNet(variant="paper", classes=1000)   # a functional keras.Model

Map of the package, in reading order:

    models/       the network: variants as rows of data (variants.py), one builder (build.py)
    layers/       layers that Keras lacks: response normalisation, grouped convolution, dropout
    data/         datasets, decoding, augmentation and normalisation: images to training batches
    training/     one Trainer: the step, the update rule, schedules, checkpoints
    evaluation/   top-1 and top-5 error, reports, published errors to compare with
    recipes/      where the sources of AlexNet disagree, and which source a run follows
    preparation/  ImageNet's archives or a folder to a resized dataset, one shard at a time
    inspection/   the contents of a dataset, and its faults
    serving/      the SavedModel, a REST server and its page
    figures/      the figures of the paper and the lecture, from any model
    towers/       training with each of the two towers on a device of its own
    weights/      reads and writes the files of Caffe, PyTorch, NumPy and Keras
    system/       files, signals, progress, errors: imports nothing else of the package

visualize.py makes arrays of kernels and grids of images. Entry points only parse flags and call:
train.py, evaluate.py, predict.py, features.py, export.py, convert.py, prepare.py, doctor.py,
serve.py, client.py, launch.py and figures/__main__.py. Python programs call applications.py.
Imports run one way (tests/test_imports.py): entry points, towers, training and its neighbours,
evaluation, data, models, layers, system.
"""

from alexnet_tf.system.import_path import leave_out_working_directory

leave_out_working_directory()  # before the next import, which may find another module there

from alexnet_tf.system.keras_setup import after_import, choose_backend  # noqa: E402

__version__ = "0.1.0"
__all__ = [
    "AlexNet",
    "decode_predictions",
    "load_model",
    "preprocess_input",
    "variants",
]


def __getattr__(name: str):
    """Imports on first use, so that `--help` need not wait for TensorFlow."""
    if name == "variants":
        from alexnet_tf.models.variants import variants

        return variants
    if name in __all__:
        import alexnet_tf.applications

        return getattr(alexnet_tf.applications, name)
    raise AttributeError(f"module 'alexnet_tf' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _register_layers() -> None:
    """Lets `keras.models.load_model` find this package's layers.

    A .keras or .h5 file names its layers, and Keras knows those whose modules have been imported.
    Importing them here would import TensorFlow, which takes seconds; without Keras nothing can be
    loaded. So they are imported as soon as Keras is, whichever import comes first.
    """
    import keras

    if keras.config.backend() == "tensorflow":  # on another backend `AlexNet` says what is wrong
        import alexnet_tf.layers  # noqa: F401


choose_backend()  # whichever module of this package imports Keras first
after_import("keras", _register_layers)
