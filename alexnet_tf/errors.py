"""The exceptions that entry points turn into one line and an exit code."""


class UserError(ValueError):
    """Something the user can mend: says what was expected, what came and what to do."""

    exit_code = 1


class WorkerLostError(UserError):
    """Another worker of the run has gone; started again, the run goes on."""

    exit_code = 75  # EX_TEMPFAIL: try again
