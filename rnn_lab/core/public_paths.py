"""Shortest import paths of classes, which configs and checkpoints store."""

import sys


def public_path(cls: type) -> str:
    """Return the import path of a class in the outermost package that exports it.

    `rnn-lab fit --print_config` writes the same path. A class that no package exports has the path
    of its module.

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
