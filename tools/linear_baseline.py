"""The error of a linear softmax on the pixels: a network must be better.

python -m tools.linear_baseline --dataset=shapes --variant=tiny
"""

from __future__ import annotations

from absl import flags as absl_flags

from alexnet_tf import app

_FLAGS = absl_flags.FLAGS
_LEARNING_RATES = (1e-4, 1e-3, 1e-2)  # the best one depends on the scale of the pixels


def main(argv: list[str]) -> None:
    """Trains one linear model for each rate and prints the errors."""
    import keras
    import tensorflow as tf

    from alexnet_tf.data.pipeline import training_dataset
    from alexnet_tf.data.preprocess import Preprocessor
    from alexnet_tf.data.sources import open_dataset
    from alexnet_tf.data.statistics import compute_statistics
    from alexnet_tf.evaluation.classifier import Classifier
    from alexnet_tf.evaluation.evaluator import Evaluator
    from alexnet_tf.models.variants import get_variant
    from alexnet_tf.system.progress import Progress
    from alexnet_tf.training.network import TrainableNetwork
    from alexnet_tf.training.optimizer import PaperSGD
    from alexnet_tf.training.train_step import make_train_steps

    preprocessing = get_variant(_FLAGS.variant).preprocessing
    dataset = open_dataset(_FLAGS.dataset, _FLAGS.data_dir)
    preprocessor = Preprocessor(preprocessing, compute_statistics(dataset.train, preprocessing))
    strategy = tf.distribute.get_strategy()
    steps = round(_FLAGS.epochs * dataset.train.examples / _FLAGS.batch_size)
    for learning_rate in _LEARNING_RATES:
        keras.utils.set_random_seed(1)
        side = preprocessing.crop_size
        model = keras.Sequential(
            [
                keras.Input((side, side, 3)),
                keras.layers.Flatten(),
                keras.layers.Dense(len(dataset.classes)),
            ]
        )
        optimizer = PaperSGD(learning_rate)
        optimizer.build(model.trainable_variables)
        network = TrainableNetwork(model, optimizer)
        train_steps = make_train_steps(strategy, network, preprocessor, _FLAGS.batch_size)
        batches = iter(
            training_dataset(
                dataset.train,
                preprocessing,
                _FLAGS.batch_size,
                seed=0,
                augmentations=tuple(_FLAGS.augment),
            )
        )
        with Progress(f"learning rate {learning_rate:g}", steps, "steps") as progress:
            for _ in range(steps):
                train_steps(batches, tf.constant(1))
                progress.advance(1)
        classifier = Classifier(model, preprocessor, dataset.classes)
        evaluate = Evaluator(classifier, strategy, _FLAGS.batch_size)
        print(f"learning rate {learning_rate:g}: training set {evaluate(dataset.train)}")
        print(
            f"learning rate {learning_rate:g}: validation   {evaluate(dataset.validation)}",
            flush=True,
        )


if __name__ == "__main__":
    absl_flags.DEFINE_string("dataset", "shapes", "as in alexnet_tf.train")
    absl_flags.DEFINE_string("data_dir", None, "as in alexnet_tf.train")
    absl_flags.DEFINE_string("variant", "tiny", "variant that defines the preprocessing")
    absl_flags.DEFINE_list("augment", [], "as in alexnet_tf.train; default none")
    absl_flags.DEFINE_integer("batch_size", 32, "images per step", lower_bound=1)
    absl_flags.DEFINE_float("epochs", 20, "passes over the training set", lower_bound=0)
    app.run(main)
