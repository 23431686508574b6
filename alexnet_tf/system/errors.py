"""The exceptions that entry points turn into one line and an exit code."""

import re
import textwrap

_DAMAGED = "The dataset is damaged: {}. alexnet_tf.doctor checks every file."


class UserError(ValueError):
    """An error that the user can correct; its message says what is wrong and what to do."""

    exit_code = 1


class WorkerLostError(UserError):
    """Another worker of the run has stopped; the run can be resumed."""

    exit_code = 75  # EX_TEMPFAIL: try again


def first_line(error: Exception, width: int = 200) -> str:
    """The first line of a library's error, shortened; its type's name if it has no text.

    TensorFlow's names of graph nodes and operations are left out.
    """
    text = re.sub(r"\{\{.*?\}\} ?| ?\[Op:\w+\]( name:)?", "", str(error))
    lines = text.strip().splitlines() or [type(error).__name__]
    return textwrap.shorten(lines[0], width, placeholder=" ...")


def damage_of_data(error: Exception) -> str | None:
    """What TensorFlow, which may not be imported, found wrong with a dataset's files.

    None if the error has another cause.
    """
    kind, text = type(error).__name__, str(error)
    if isinstance(error, UnicodeDecodeError):  # TensorFlow's message, with the bytes of an example
        text = error.object.decode(errors="replace")
    if kind == "DataLossError":
        return _DAMAGED.format(first_line(error))
    cardinality = r"contain (\d+) elements? but contained (only|at least) (\d+)"
    found = re.search(cardinality, text)
    if kind == "FailedPreconditionError" and found:
        found, expected = f"{found[2]} {int(found[3]):,}", f"{int(found[1]):,}"
        return _DAMAGED.format(f"a shard has {found} examples, not {expected}")
    if "ParseExample" in text and kind in ("InvalidArgumentError", "UnicodeDecodeError"):
        return _DAMAGED.format("a record is no example, or its image or label is of another type")
    return None
