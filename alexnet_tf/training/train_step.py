"""Training steps on any strategy, several in one compiled call."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import tensorflow as tf

from alexnet_tf.data.preprocess import Preprocessor
from alexnet_tf.training.distributed import WorkerSync
from alexnet_tf.training.loss import LossFunction, cross_entropy
from alexnet_tf.training.network import TrainableNetwork

Batch = dict[str, tf.Tensor]
# Gradients of the trainable variables, and [loss, top1_correct, top5_correct]; sums over images.
_Sums = tuple[list[tf.Tensor], tf.Tensor]
METRICS = ("loss", "top1_correct", "top5_correct")
# From an iterator over batches (`data.pipeline.training_dataset`) and a number of steps to metrics.
# Scalars, summed over the steps made: loss (mean over the global batch), top1_correct and
# top5_correct (images whose label is the most probable class, or among the five most probable),
# waiting (seconds for input), and steps: fewer than asked for if the loss, or the norm of a weight
# after the update, was not finite; that step is then the last. And of the last step, for each
# trainable variable, gradient_norms and, after its update, weight_norms, both [variables].
TrainSteps = Callable[[Iterator, tf.Tensor], dict[str, tf.Tensor]]


def make_train_steps(
    strategy: tf.distribute.Strategy,
    network: TrainableNetwork,
    preprocessor: Preprocessor,
    batch_size: int,
    accumulate: int = 1,
    jit_compile: bool = False,
    timed: bool = True,
    loss: LossFunction = cross_entropy,
) -> TrainSteps:
    """Compiles the step: preprocess, forward, backward, sum over replicas, update.

    Keras's `Model.fit` is not used, because it fails on several workers (keras-team/keras#20585).

    Args:
        strategy: where to run.
        network: made under the strategy's scope.
        preprocessor: of the network's variant and training set.
        batch_size: over all replicas; images of weight 0 count in it too.
        accumulate: parts that the images of each replica are divided into, computed one after the
            other to save memory; the update is that of the whole batch.
        jit_compile: whether XLA compiles the step of each replica.
        timed: whether to read the clock, which TensorFlow's determinism forbids.
        loss: of an image, which is minimised.

    Returns:
        A function as described at `TrainSteps`.
    """
    variables = network.model.trainable_variables
    compute_gradients = make_gradient_function(network, preprocessor, batch_size, loss)
    replica_step = _make_replica_step(network, compute_gradients, accumulate)
    if jit_compile:
        replica_step = tf.function(replica_step, jit_compile=True)

    @tf.function
    def train_steps(iterator: Iterator, count: tf.Tensor) -> dict[str, tf.Tensor]:
        """`count` steps, or fewer."""
        gradient_norms = weight_norms = tf.zeros([len(variables)])
        sums, steps, waiting = tf.zeros([len(METRICS)]), 0, tf.constant(0.0, tf.float64)
        # The loss belongs to the weights before an update, which may be the one that spoils them.
        while steps < count and _all_finite(sums, weight_norms):
            batch, seconds = _next(iterator, strategy, sums, timed)
            metrics, gradient_norms = strategy.run(replica_step, (batch,))
            sums += strategy.reduce(tf.distribute.ReduceOp.SUM, metrics, axis=None)
            # All replicas have the same norms.
            gradient_norms = strategy.experimental_local_results(gradient_norms)[0]
            weight_norms = network.norms(variables)
            waiting += seconds
            steps += 1
        return {
            "waiting": waiting,
            "steps": steps,
            "gradient_norms": gradient_norms,
            "weight_norms": weight_norms,
            **dict(zip(METRICS, tf.unstack(sums), strict=True)),
        }

    return train_steps


def make_gradient_function(
    network: TrainableNetwork,
    preprocessor: Preprocessor,
    batch_size: int,
    loss: LossFunction = cross_entropy,
) -> Callable[[Batch], _Sums]:
    """The function from images to gradients, scaled as the optimizer expects, and metrics.

    The arguments are those of `make_train_steps`.
    """
    # XLA makes one pass over memory of it, in a twentieth of the time.
    preprocess = tf.function(preprocessor.training, jit_compile=True)

    def compute_gradients(batch: Batch) -> _Sums:
        """Gradients and metrics of images that are computed at once."""
        labels = batch["label"]
        images = preprocess(batch)  # [B, C, C, 3]
        # Only what is trained, so that nothing is recorded in the layers before the first of it.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in network.model.trainable_variables])
            logits = network.model(images, training=True)
            logits = tf.cast(logits, tf.float32)  # [B, classes]
            # The replicas' gradients will be added up, so each divides by the whole batch.
            mean = tf.reduce_sum(loss(labels, logits) * batch["weight"]) / batch_size
            scaled = network.optimizer.scale_loss(mean)
        gradients = network.gradients(tape, scaled)
        predictions = tf.math.top_k(logits, min(5, logits.shape[-1])).indices  # [B, 5]
        correct = predictions == tf.cast(labels, tf.int32)[:, None]
        per_image = tf.stack([correct[:, 0], tf.reduce_any(correct, axis=1)])  # [2, B]
        counts = tf.linalg.matvec(tf.cast(per_image, tf.float32), batch["weight"])  # [2]
        return gradients, tf.concat([mean[None], counts], axis=0)

    return compute_gradients


def _make_replica_step(
    network: TrainableNetwork, compute_gradients: Callable[[Batch], _Sums], accumulate: int
) -> Callable[[Batch], tuple[tf.Tensor, tf.Tensor]]:
    """The step of each replica with its part of a batch."""
    variables = network.model.trainable_variables

    def replica_step(batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """The metrics of this replica, and the norms of the gradients summed over replicas."""
        gradients, metrics = _accumulated(compute_gradients, batch, accumulate, variables)
        gradients = _sum_over_replicas(gradients)
        # Norms of the gradients without the loss scale.
        norms = network.norms(gradients) / network.optimizer.scale_loss(tf.ones([]))
        # The norms need all gradients, and the updates wait for them: TensorFlow would copy weights
        # that are updated while the gradient of another layer still reads them.
        with tf.control_dependencies([norms]):
            network.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return metrics, norms

    return replica_step


def _all_finite(*tensors: tf.Tensor) -> tf.Tensor:
    return tf.reduce_all(tf.math.is_finite(tf.concat(tensors, axis=0)))


def _accumulated(
    compute_gradients: Callable[[Batch], _Sums],
    batch: Batch,
    parts: int,
    variables: list,
) -> _Sums:
    """Sums over equal parts of a batch, one at a time."""
    if parts == 1:
        return compute_gradients(batch)
    stacked = {
        name: tf.reshape(values, [parts, values.shape[0] // parts, *values.shape[1:]])
        for name, values in batch.items()
    }
    zeros = ([tf.zeros(v.shape, v.dtype) for v in variables], tf.zeros([len(METRICS)]))
    _, sums = tf.while_loop(
        lambda number, _: number < parts,
        lambda number, sums: (
            number + 1,
            tf.nest.map_structure(
                tf.add,
                sums,
                compute_gradients({name: values[number] for name, values in stacked.items()}),
            ),
        ),
        (tf.constant(0), zeros),
        parallel_iterations=1,  # several at once would need the memory of the whole batch
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
    """The next batch, and the seconds that it took since `after` was computed; or 0."""
    if not timed:
        return next(iterator), tf.constant(0.0, tf.float64)
    with tf.control_dependencies([after]):
        asked = tf.timestamp()
    with tf.control_dependencies([asked]):
        batch = next(iterator)
    with tf.control_dependencies(strategy.experimental_local_results(batch["label"])):
        return batch, tf.timestamp() - asked


class ExecutionLength:
    """Chooses the number of steps of a compiled call by the duration of the last one.

    A compiled loop of steps cannot see signals, so it must not last long.

    Args:
        steps_per_execution: steps of one call at most.
        sync: of the workers, which have to make the same number of steps.
    """

    SECONDS = 1.0  # that a signal may wait for the end of a call; a step is never cut short

    def __init__(self, steps_per_execution: int, sync: WorkerSync):
        self._at_most, self._sync = steps_per_execution, sync
        self._affordable = 1  # until it is known: the first call compiles as well

    def steps(self) -> int:
        """Steps of the next call at most; all workers must ask at the same place."""
        if self._at_most == 1:
            return 1
        mine = min(self._at_most, self._affordable)
        return max(1, round(self._sync.sum(mine) / self._sync.workers))

    def record(self, steps: int, seconds: float) -> None:
        """Takes the duration of a call."""
        self._affordable = max(1, int(self.SECONDS * steps / max(seconds, 1e-6)))
