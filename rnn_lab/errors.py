"""Errors that the command line reports as one line instead of a traceback."""


class UserError(ValueError):
    """An error in the user's input; the message states what is wrong and how to correct it."""
