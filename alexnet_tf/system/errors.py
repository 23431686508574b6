"""The exceptions that entry points turn into one line and an exit code."""

import re
import textwrap


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
