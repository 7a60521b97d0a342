"""Errors that the command line reports as one line instead of a traceback."""


class UserError(ValueError):
    """An error in the user's input; the message states what is wrong and how to correct it."""


class ProcessError(UserError):
    """An error of a run with several processes, of which one reports it.

    Args:
        message: What is wrong, and how to correct it.
        reported_here: Whether this process reports it.
    """

    def __init__(self, message: str, reported_here: bool) -> None:
        super().__init__(message)
        self.reported_here = reported_here
