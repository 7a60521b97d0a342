"""Training runs in processes that a server forks, which has imported everything before.

A run starts in a tenth of the time of a command. Several processes of a run are started as torchrun
starts them.
"""

import multiprocessing
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

IMPORTED = ["rnn_lab.commands._cli", "rnn_lab.models", "rnn_lab.datamodules", "sacrebleu"]


def start(
    options: Sequence[str], processes: int, log: Path, environment: Mapping[str, str]
) -> list[multiprocessing.Process]:
    """Start a command in the current folder.

    Args:
        options: Arguments of `rnn-lab`.
        processes: Number of training processes.
        log: File that the output is appended to.
        environment: Environment variables of the run.

    Returns:
        The processes by rank; each leads a process group.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *IMPORTED])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    runs = []
    for rank in range(processes):
        own = _launch_environment(rank, processes, port) if processes > 1 else {}
        arguments = (list(options), str(Path.cwd()), str(log), {**environment, **own})
        runs.append(context.Process(target=_run, args=arguments))
        runs[-1].start()
    return runs


def _launch_environment(rank: int, processes: int, port: int) -> dict[str, str]:
    """Return the environment variables of a process that torchrun starts."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "GROUP_RANK": "0",
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": str(port),
    }


def _run(options: list[str], folder: str, log: str, environment: dict[str, str]) -> None:
    multiprocessing.set_start_method("fork", force=True)  # of the workers of its loaders
    os.setsid()
    os.chdir(folder)
    os.environ.update(environment)
    sys.path.insert(0, folder)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    from rnn_lab.__main__ import main

    sys.argv = ["rnn-lab", *options]
    sys.exit(main(options))
