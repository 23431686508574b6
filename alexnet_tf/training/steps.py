"""Training steps on any strategy, several in one call."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from alexnet_tf.data.preprocess import Preprocessor

Batch = dict[str, tf.Tensor]
# Gradients of the trainable variables; loss, top-1 hits and top-5 hits. Sums over images.
_Sums = tuple[list[tf.Tensor], tf.Tensor]
FIGURES = ("loss", "top1_hits", "top5_hits")
# From an iterator over `pipeline.training_dataset`'s batches and a number of steps to scalars, sums
# over the steps made: loss (mean over the global batch), top1_hits and top5_hits (images whose
# label is the first guess, or among the first five), waiting (seconds for input), and steps, which
# is less than asked for if a loss, or the norm of a weight after the update, was not finite: that
# step is then the last. And of the last step, for each of the model's trainable variables,
# gradient_norms and, after its update, weight_norms, both [variables].
TrainSteps = Callable[[Iterator, tf.Tensor], dict[str, tf.Tensor]]


def make_train_steps(
    strategy: tf.distribute.Strategy,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    preprocessor: Preprocessor,
    batch_size: int,
    accumulate: int = 1,
    jit_compile: bool = False,
    colocate: bool = False,
    timed: bool = True,
) -> TrainSteps:
    """Compiles the step: preprocess, forward, backward, sum over replicas, update.

    Not Keras's `Model.fit`, because that fails on several workers (keras-team/keras#20585).

    Args:
        strategy: where to run.
        model: to logits [B, classes]; made, like the optimizer, under the strategy's scope.
        optimizer: with or without loss scaling; leaves it to the step to sum over replicas.
        preprocessor: the model's.
        batch_size: over all replicas; images of weight 0 count in it too.
        accumulate: parts that each replica's images are divided into, one after the other, to
            need less memory; the update is that of the whole batch.
        jit_compile: whether XLA compiles each replica's part.
        colocate: whether each operation's gradient is computed on its device; a tape's would all
            be computed on one.
        timed: whether to look at the clock, which TensorFlow's determinism forbids.

    Returns:
        A function as `TrainSteps` says.
    """
    variables = model.trainable_variables
    gradients_of = make_gradients(model, optimizer, preprocessor, batch_size, colocate)
    replica_step = _make_replica_step(gradients_of, optimizer, variables, accumulate, colocate)
    if jit_compile:
        replica_step = tf.function(replica_step, jit_compile=True)

    @tf.function
    def train_steps(iterator: Iterator, count: tf.Tensor) -> dict[str, tf.Tensor]:
        """So many steps, or fewer."""
        gradients = weights = tf.zeros([len(variables)])  # their norms
        sums, steps, waiting = tf.zeros([len(FIGURES)]), 0, tf.constant(0.0, tf.float64)
        # The loss is that of the weights before an update, which may spoil them all the same.
        while steps < count and _all_finite(sums, weights):
            batch, seconds = _next(iterator, strategy, sums, timed)
            figures, gradients = strategy.run(replica_step, (batch,))
            sums += strategy.reduce(tf.distribute.ReduceOp.SUM, figures, axis=None)
            gradients = strategy.experimental_local_results(gradients)[0]  # all have the same
            weights = _norms(variables, colocate)
            waiting += seconds
            steps += 1
        return {
            "waiting": waiting,
            "steps": steps,
            "gradient_norms": gradients,
            "weight_norms": weights,
            **dict(zip(FIGURES, tf.unstack(sums), strict=True)),
        }

    return train_steps


def make_gradients(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    preprocessor: Preprocessor,
    batch_size: int,
    colocate: bool = False,
) -> Callable[[Batch], _Sums]:
    """What is computed of some images: gradients, scaled as the optimizer wants, and figures.

    The arguments are those of `make_train_steps`.
    """
    variables = model.trainable_variables
    # XLA makes one pass over memory of it, in a twentieth of the time.
    preprocess = tf.function(preprocessor.training, jit_compile=True)

    def gradients_of(batch: Batch) -> _Sums:
        """Gradients and figures of images that are computed at once."""
        labels = batch["label"]
        images = preprocess(batch)
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            logits = tf.cast(logits, tf.float32)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            # The replicas' gradients will be added up, so each divides by the whole batch.
            loss = tf.reduce_sum(losses * batch["weight"]) / batch_size
            scaled = optimizer.scale_loss(loss)
        if colocate:
            gradients = tf.compat.v1.gradients(
                scaled, [v.value for v in variables], colocate_gradients_with_ops=True
            )
        else:
            gradients = tape.gradient(scaled, variables)
        guesses = tf.math.top_k(logits, min(5, logits.shape[-1])).indices  # [B, 5]
        hits = guesses == tf.cast(labels, tf.int32)[:, None]
        per_image = tf.stack([hits[:, 0], tf.reduce_any(hits, axis=1)])  # [2, B]
        counts = tf.linalg.matvec(tf.cast(per_image, tf.float32), batch["weight"])  # [2]
        return gradients, tf.concat([loss[None], counts], axis=0)

    return gradients_of


def _make_replica_step(
    gradients_of: Callable[[Batch], _Sums],
    optimizer: keras.optimizers.Optimizer,
    variables: list[keras.Variable],
    accumulate: int,
    colocate: bool,
) -> Callable[[Batch], tuple[tf.Tensor, tf.Tensor]]:
    """What each replica does with its part of a batch."""

    def replica_step(batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """Its figures, and the norms of all replicas' gradients."""
        gradients, figures = _accumulated(gradients_of, batch, accumulate, variables)
        return figures, _update(optimizer, _sum_over_replicas(gradients), variables, colocate)

    return replica_step


def _update(
    optimizer: keras.optimizers.Optimizer,
    gradients: list[tf.Tensor],
    variables: list[keras.Variable],
    colocate: bool,
) -> tf.Tensor:
    """Makes the update; returns the norms of the gradients without their scale."""
    norms = _norms(gradients, colocate) / optimizer.scale_loss(tf.ones([]))
    # The norms need all gradients, and the updates wait for them: TensorFlow would copy weights
    # that are updated while the gradient of another layer still reads them.
    with tf.control_dependencies([norms]):
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
    return norms


def _all_finite(*tensors: tf.Tensor) -> tf.Tensor:
    return tf.reduce_all(tf.math.is_finite(tf.concat(tensors, axis=0)))


def _norms(tensors: list[tf.Tensor | keras.Variable], colocate: bool) -> tf.Tensor:
    """The Euclidean norm of each, float32 [tensors]; computed where each is, if that is wanted."""
    halves = []
    for tensor in tensors:
        tensor = tensor.value if isinstance(tensor, keras.Variable) else tensor
        with tf.device(tensor.device) if colocate else contextlib.nullcontext():
            halves.append(tf.nn.l2_loss(tf.convert_to_tensor(tensor)))
    return tf.sqrt(2 * tf.stack(halves))


def _accumulated(
    gradients_of: Callable[[Batch], _Sums],
    batch: Batch,
    parts: int,
    variables: list[keras.Variable],
) -> _Sums:
    """Sums over equal parts of a batch, one at a time."""
    if parts == 1:
        return gradients_of(batch)
    stacked = {
        name: tf.reshape(values, [parts, values.shape[0] // parts, *values.shape[1:]])
        for name, values in batch.items()
    }
    zeros = ([tf.zeros(v.shape, v.dtype) for v in variables], tf.zeros([len(FIGURES)]))
    _, sums = tf.while_loop(
        lambda number, _: number < parts,
        lambda number, sums: (
            number + 1,
            tf.nest.map_structure(
                tf.add,
                sums,
                gradients_of({name: values[number] for name, values in stacked.items()}),
            ),
        ),
        (tf.constant(0), zeros),
        parallel_iterations=1,  # or there would be memory for several parts after all
    )
    return sums


def _sum_over_replicas(gradients: list[tf.Tensor]) -> list[tf.Tensor]:
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:  # a sum of one would still gather all on one device
        return gradients
    return context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)


def _next(
    iterator: Iterator, strategy: tf.distribute.Strategy, after: tf.Tensor, timed: bool
) -> tuple[Batch, tf.Tensor]:
    """The next batch, and the seconds from when `after` was known until it was there, or 0."""
    if not timed:
        return next(iterator), tf.constant(0.0, tf.float64)
    with tf.control_dependencies([after]):
        asked = tf.timestamp()
    with tf.control_dependencies([asked]):
        batch = next(iterator)
    with tf.control_dependencies(strategy.experimental_local_results(batch["label"])):
        return batch, tf.timestamp() - asked
