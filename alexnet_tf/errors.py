"""The one exception that entry points turn into one line and an exit code."""


class UserError(ValueError):
    """Something the user can mend: says what was expected, what came and what to do."""
