"""The exceptions that entry points turn into one line and an exit code."""

import textwrap


class UserError(ValueError):
    """Something the user can mend: says what was expected, what came and what to do."""

    exit_code = 1


class WorkerLostError(UserError):
    """Another worker of the run has gone; started again, the run goes on."""

    exit_code = 75  # EX_TEMPFAIL: try again


def first_line(error: Exception, width: int = 200) -> str:
    """Of what a library's error says, in whole words; its type's name if that is nothing."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return textwrap.shorten(lines[0], width, placeholder=" ...")
