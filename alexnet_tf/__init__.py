"""AlexNet (Krizhevsky, Sutskever, Hinton, 2012) in TensorFlow 2 and Keras 3.

    import alexnet_tf
    model = alexnet_tf.AlexNet(variant="paper", classes=1000)   # a functional keras.Model

Map of the package, in reading order:

    models/     what the network is: rows of data (variants.py) and one builder (build.py)
    layers/     the layers that Keras lacks: response normalisation, grouped convolution, dropout
    data/       where images come from, how they are cut, lit and normalised
    training/   the update rule, schedules, the loop, checkpoints
    serving/    the SavedModel
    figures/    pictures of the paper and the lecture, from any model; visualize/ has them as arrays
    train.py evaluate.py predict.py export.py    entry points: they parse flags and call
"""

__version__ = "0.1.0"
__all__ = ["AlexNet", "variants"]


def __getattr__(name: str):
    """Imports on first use, so that `--help` need not wait for TensorFlow."""
    if name == "AlexNet":
        from alexnet_tf.models.build import AlexNet

        return AlexNet
    if name == "variants":
        from alexnet_tf.models.variants import variants

        return variants
    raise AttributeError(f"module 'alexnet_tf' has no attribute {name!r}")
