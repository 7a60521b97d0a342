"""The shortest path by which a class can be imported: what configs and checkpoints store."""

import sys


def public_path(cls: type) -> str:
    """Return the path of the outermost package that gives a class under its name.

    The same path is written by `rnn-lab fit --print_config`; of a class that no package exports it
    is that of its module.

    Example:
        >>> from torch.optim import Adam
        >>> public_path(Adam)
        'torch.optim.Adam'
    """
    parts = cls.__module__.split(".")
    for end in range(1, len(parts)):
        package = ".".join(parts[:end])
        if getattr(sys.modules.get(package), cls.__name__, None) is cls:
            return f"{package}.{cls.__name__}"
    return f"{cls.__module__}.{cls.__qualname__}"
