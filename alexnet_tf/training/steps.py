"""One training step on any strategy."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from alexnet_tf.data.preprocess import Preprocessor


def make_train_step(
    strategy: tf.distribute.Strategy,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    preprocessor: Preprocessor,
    batch_size: int,
    jit_compile: bool = False,
) -> Callable[[Iterator], dict[str, tf.Tensor]]:
    """Compiles one step: preprocess, forward, backward, sum over replicas, update.

    Keras's `Model.fit` is not used because it fails on several workers (keras-team/keras#20585);
    this is the same on one device and on many.

    Args:
        strategy: where to run.
        model: to logits [B, classes]; made, like the optimizer, under the strategy's scope.
        optimizer: with or without loss scaling.
        preprocessor: the model's.
        batch_size: over all replicas; images of weight 0 count in it too.
        jit_compile: whether XLA compiles each replica's part.

    Returns:
        A function from an iterator over `pipeline.training_dataset`'s batches to loss (mean
        over the global batch) and correct (images of it whose label is the first guess).
    """

    def replica_step(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        labels = batch["label"]
        with tf.GradientTape() as tape:
            logits = model(preprocessor.training(batch), training=True)
            logits = tf.cast(logits, tf.float32)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            # The optimizer adds the replicas' gradients up, so each divides by the whole batch.
            loss = tf.reduce_sum(losses * batch["weight"]) / batch_size
            scaled = optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        hits = tf.argmax(logits, axis=1) == labels
        correct = tf.reduce_sum(tf.cast(hits, tf.float32) * batch["weight"])
        return {"loss": loss, "correct": correct}

    compiled = tf.function(replica_step, jit_compile=True) if jit_compile else replica_step

    @tf.function
    def train_step(iterator: Iterator) -> dict[str, tf.Tensor]:
        sums = strategy.run(compiled, (next(iterator),))
        return {
            name: strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)
            for name, value in sums.items()
        }

    return train_step
