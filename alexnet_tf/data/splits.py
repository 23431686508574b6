"""Which split of a dataset does what.

`train` is trained on. The first of `validation`, `val`, `valid` and `dev` validates: its errors
choose the best checkpoint and lower the learning rate. Without one of them, a tenth of `train` is
held out. `test` is for the last measurement, and does neither unless it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

from alexnet_tf.system.errors import UserError

TRAIN, TEST = "train", "test"
VALIDATION = ("validation", "val", "valid", "dev")  # the first that exists

# These two are written into model.json, and must keep their meaning.
HELD_OUT = "held-out"  # a tenth of train, spread over it (`dataset.hold_out`)
LAST_TENTH = "train[90%:]"  # of a dataset with train only, in runs that old versions began

EARLIER = "earlier"  # the split that versions without --validation_split would choose


def choose_validation(
    dataset: str, names: Sequence[str], asked: str | None = None, earlier: str | None = None
) -> str:
    """The split that validates.

    Args:
        dataset: its name, for messages.
        names: the splits that exist.
        asked: a split, or a slice of one; train or `HELD_OUT`: a part of train is held out;
            `EARLIER`; None: by the names.
        earlier: the split for `EARLIER`, if it differs from None's.

    Returns:
        The name of a split, a slice of one, or `HELD_OUT`. In a dataset without train and
        validation it is test, or else the only split.

    Raises:
        UserError: there is no such split, or the choice is not clear.
    """
    if asked == EARLIER and earlier is not None:
        return earlier
    if asked and asked != EARLIER:
        return _find(dataset, names, asked)
    found = [name for name in VALIDATION if name in names]
    if found or TRAIN in names:
        return found[0] if found else HELD_OUT
    if TEST in names or len(names) == 1:
        return TEST if TEST in names else names[0]
    raise UserError(f"{dataset} has no validation split. Choose one of {', '.join(names)}")


def _find(dataset: str, names: Sequence[str], asked: str) -> str:
    if asked in (TRAIN, HELD_OUT) and TRAIN in names:
        return HELD_OUT
    if asked in VALIDATION and asked not in names:  # the four words mean the same
        asked = next((name for name in VALIDATION if name in names), asked)
    check_exists(dataset, names, asked)
    if asked.startswith(f"{TRAIN}[") and asked != LAST_TENTH:
        raise UserError(
            f"The images of {asked} are trained on. --validation_split={TRAIN} holds a tenth of "
            "the training images out"
        )
    return asked


def exists(names: Sequence[str], asked: str | None) -> bool:
    """Whether there is a split of this name, or one to take a part of."""
    whole = TRAIN if asked == HELD_OUT else (asked or "").partition("[")[0]
    return asked == EARLIER or whole in names


def check_exists(dataset: str, names: Sequence[str], asked: str) -> None:
    """Checks the name of a split, or of a slice of one.

    Raises:
        UserError: there is no such split; the message names those that exist.
    """
    if not exists(names, asked):
        raise _missing(dataset, names, asked)


def _missing(dataset: str, names: Sequence[str], asked: str) -> UserError:
    return UserError(
        f"{dataset} has no split {asked}. It has {', '.join(names) or 'no split with images'}"
    )


def train_part(validation: str) -> str:
    """The split, or its slice, to train on beside a validation split other than `HELD_OUT`."""
    return "train[:90%]" if validation == LAST_TENTH else TRAIN


def splits_to_prepare(
    dataset: str, names: Sequence[str], asked: Sequence[str] = ()
) -> tuple[str, ...]:
    """The splits to prepare, train first.

    Args:
        dataset: its name, for messages.
        names: the splits that exist.
        asked: those to prepare; empty: train, and the one for validation or else test.

    Raises:
        UserError: there is no such split; a slice is none.
    """
    if missing := [name for name in asked if name not in names]:
        raise _missing(dataset, names, missing[0])
    if not asked:
        held_out = next((name for name in (*VALIDATION, TEST) if name in names), None)
        asked = [name for name in (TRAIN, held_out) if name in names] or names
    return tuple(sorted(dict.fromkeys(asked), key=lambda name: name != TRAIN))


def describe_roles(names: Sequence[str]) -> str:
    """Which splits training uses, and for what."""
    if TRAIN not in names:
        return f"{', '.join(names)} for evaluation; there is no split to train on"
    validation = choose_validation("", names)
    which = "a tenth of it, held out," if validation == HELD_OUT else validation
    text = f"train for training, {which} for validation"
    others = [name for name in names if name not in (TRAIN, validation)]
    return f"{text}; not used in training: {', '.join(others)}" if others else text
