"""What the command line shows as one line instead of a traceback."""


class UserError(ValueError):
    """A mistake in what the user gave: the message says what was found and what is wished."""
