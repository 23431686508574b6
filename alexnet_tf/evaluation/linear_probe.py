"""Linear probes: how well a linear classifier does on the features of a layer.

A probe is multinomial logistic regression on standardised features (Alain and Bengio, 2016). Maps
are averaged over their positions first: [N, H, W, channels] to [N, channels].
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np

from alexnet_tf.evaluation.features import Rows
from alexnet_tf.system.errors import UserError

STRENGTHS = (0.001, 0.01, 0.1, 1.0)  # C of scikit-learn: the inverse of the penalty's weight
_ITERATIONS = 1000  # at most


def check_sklearn() -> None:
    """Checks that scikit-learn is there, before the work.

    Raises:
        UserError: it is not.
    """
    try:
        import sklearn.linear_model  # noqa: F401
    except ImportError:
        raise UserError(
            "--probe needs scikit-learn: pip install '.[probe]', or pip install scikit-learn"
        ) from None


def gather(rows: Iterable[Rows]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The features of all images by layer, float32 [N, channels], and labels, int64 [N]."""
    layers: dict[str, list[np.ndarray]] = {}
    labels = [np.zeros(0, np.int64)]
    for batch in rows:
        labels.append(batch.labels)
        for layer, features in batch.layers.items():
            pooled = features.mean(axis=(1, 2)) if features.ndim == 4 else features
            layers.setdefault(layer, []).append(pooled)
    return {name: np.concatenate(parts) for name, parts in layers.items()}, np.concatenate(labels)


def probe(
    train: np.ndarray,
    train_labels: np.ndarray,
    test: np.ndarray,
    test_labels: np.ndarray,
    seed: int = 0,
) -> tuple[float, float]:
    """Trains a probe, and measures it.

    The strength of the penalty is chosen on a fifth of the training images. The probe is then
    trained on all of them.

    Args:
        train: features [N, F].
        train_labels: [N], of two classes at least.
        test: features [M, F].
        test_labels: [M].
        seed: of the division.

    Returns:
        Top-1 accuracy on `test`, a fraction, and the strength.

    Raises:
        UserError: fewer than two classes, or too few images to hold a fifth out.
    """
    import sklearn.linear_model
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.preprocessing import StandardScaler

    order = np.random.default_rng(seed).permutation(len(train))
    held_out, kept = np.split(order, [len(train) // 5])
    if len(np.unique(train_labels[kept])) < 2 or not len(held_out):
        raise UserError("Expected --probe with at least five training images of two classes")
    scaler = StandardScaler().fit(train)
    train, test = scaler.transform(train), scaler.transform(test)

    def accuracy(c: float, rows: np.ndarray, images: np.ndarray, labels: np.ndarray) -> float:
        """Of a probe that is trained on some rows."""
        model = sklearn.linear_model.LogisticRegression(C=c, max_iter=_ITERATIONS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(train[rows], train_labels[rows])
        return float((model.predict(images) == labels).mean())

    scores = {c: accuracy(c, kept, train[held_out], train_labels[held_out]) for c in STRENGTHS}
    best = max(scores, key=lambda strength: (scores[strength], -strength))
    return accuracy(best, order, test, test_labels), best
