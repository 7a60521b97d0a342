"""Checkpoints that are stored as artifacts on Weights & Biases."""

import os
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

from rnn_lab.errors import UserError

SCHEME = "wandb://"


def local_checkpoint(path: str) -> str:
    """Return the local path of a checkpoint; one on Weights & Biases is downloaded once.

    Args:
        path: A local path, which is returned unchanged, or the name of an artifact of type `model`
            with a single checkpoint: `wandb://ENTITY/PROJECT/NAME:ALIAS`.

    Raises:
        UserError: If there is no API key, the artifact cannot be downloaded, or it does not contain
            one checkpoint.
    """
    return _download(path.removeprefix(SCHEME)) if path.startswith(SCHEME) else path


@cache  # every reader of the checkpoint asks for it
def _download(name: str) -> str:
    import wandb
    from wandb.sdk.lib.wbauth import authenticate_session

    try:
        host = wandb.setup().settings.base_url
        if authenticate_session(host=host, source="rnn-lab", prompt=False) is None:
            raise UserError(f"{SCHEME}{name} requires an API key: set WANDB_API_KEY")
        artifact = wandb.Api().artifact(name, type="model")
        root = user_cache_path("rnn_lab") / "wandb" / artifact.digest
        folder = artifact.download(root=os.fspath(root))
    except (wandb.errors.Error, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{SCHEME}{name} cannot be downloaded: {reason}") from error
    paths = sorted(Path(folder).glob("*.ckpt"))
    if len(paths) != 1:
        raise UserError(f"{SCHEME}{name} has {len(paths)} checkpoints, expected one")
    return os.fspath(paths[0])
