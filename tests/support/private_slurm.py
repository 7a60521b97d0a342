"""A private SLURM cluster: all daemons run on this computer, with all files in one folder.

Nothing under /etc, /run or /var is read or written, no service is started, and root is not needed.
It requires the programs of Debian's `slurm-wlm`.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from getpass import getuser
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "sinfo")
JOB_VARIABLES = ("SLURM_", "SBATCH_", "SRUN_", "MASTER_", "RNN_LAB_RUN")
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")

CONFIG = """\
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdParameters=config_overrides
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/pids/slurmctld
SlurmdPidFile={folder}/pids/%n
SlurmctldLogFile={folder}/log/slurmctld
SlurmdLogFile={folder}/log/%n
PlugStackConfig={folder}/plugstack.conf
MailProg=/bin/true
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
TaskProlog={folder}/prolog
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=2,sched_min_interval=0,batch_sched_delay=0
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
{parameters}
ReturnToService=2
MinJobAge=600
KillWait=5
InactiveLimit=0
SlurmctldTimeout=30
SlurmdTimeout=30
MessageTimeout=30
BatchStartTimeout=30
PropagateResourceLimits=NONE
NodeName=n[1-{nodes}] NodeHostname={host} NodeAddr=127.0.0.1 Port={ports} CPUs=2 RealMemory=4000
PartitionName=main Nodes=ALL Default=YES State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=60
PartitionName=high Nodes=ALL State=UP PriorityTier=10 PreemptMode=OFF
"""


class Cluster:
    """A running cluster.

    Attributes:
        environment: Environment variables for clients such as `sbatch`.
    """

    def __init__(self, folder: Path) -> None:
        inherited = {
            name: text for name, text in os.environ.items() if not name.startswith(JOB_VARIABLES)
        }
        self.environment = inherited | {"SLURM_CONF": str(folder / "slurm.conf")}

    def run(self, *args: str | Path) -> str:
        """Run a client and return its standard output."""
        finished = subprocess.run(
            args, env=self.environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert finished.returncode == 0, f"{args}: {finished.stderr}"
        return finished.stdout.strip()

    def about(self, job: str, key: str) -> str:
        """Return a field of a job, such as its `JobState`, from the controller."""
        match = re.search(rf"(?:^| ){key}=(\S*)", self.run("scontrol", "show", "job", "-o", job))
        return match[1] if match else ""

    def state(self, job: str) -> str:
        """Return the state of a job."""
        return self.about(job, "JobState")

    def wait_for_end(self, job: str, seconds: float = 240) -> str:
        """Wait until a job has ended, a requeued one for good; return its final state."""
        wait(lambda: self.state(job) in ENDED, seconds, lambda: f"{job}: {self.state(job)}")
        return self.state(job)


def wait(until: Callable[[], bool], seconds: float, about: Callable[[], str] = str) -> None:
    """Wait until a condition is true.

    Raises:
        TimeoutError: If it is not true within the time limit.
    """
    end = time.monotonic() + seconds
    while not until():
        if time.monotonic() > end:
            raise TimeoutError(f"waited for {seconds} s: {about()}")
        time.sleep(0.2)


def missing() -> list[str]:
    """Return the required programs that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


@contextmanager
def private_slurm(folder: Path, nodes: int = 2, *, warning: bool = True) -> Iterator[Cluster]:
    """Start a cluster, and stop it at the end of the block.

    Args:
        folder: An empty folder.
        nodes: Number of simulated nodes.
        warning: Whether a preempted job receives the signal that it requested, not SIGTERM.
    """
    for name in ("state", "spool", "pids", "log"):
        (folder / name).mkdir(parents=True)
    port = _free_ports(nodes + 1)
    values = {
        "folder": folder,
        "host": socket.gethostname().partition(".")[0],
        "user": getuser(),
        "port": port,
        "ports": f"[{port + 1}-{port + nodes}]",
        "nodes": nodes,
        "parameters": "SlurmctldParameters=preempt_send_user_signal" if warning else "",
    }
    (folder / "slurm.conf").write_text(CONFIG.format(**values))
    (folder / "plugstack.conf").write_text("")
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")  # read, though not used
    prolog = folder / "prolog"  # node names cannot be resolved
    prolog.write_text('#!/bin/sh\necho "export MASTER_ADDR=127.0.0.1"\n')
    prolog.chmod(0o755)
    cluster = Cluster(folder)
    config = folder / "slurm.conf"
    try:
        cluster.run("slurmctld", "-c", "-f", config)
        for number in range(1, nodes + 1):
            cluster.run("slurmd", "-N", f"n{number}", "-f", config)
        idle = ("sinfo", "-h", "-p", "main", "-t", "idle", "-o", "%D")
        wait(lambda: cluster.run(*idle) == str(nodes), 60, lambda: cluster.run("sinfo"))
        yield cluster
    finally:
        _end(cluster, folder)


def _free_ports(number: int) -> int:
    """Return the first of a number of consecutive free ports."""
    for first in range(26_800 + os.getpid() % 1000, 30_000, number):
        sockets = [socket.socket() for _ in range(number)]
        try:
            for offset, sock in enumerate(sockets):
                sock.bind(("127.0.0.1", first + offset))
        except OSError:
            continue
        finally:
            for sock in sockets:
                sock.close()
        return first
    raise RuntimeError("no free ports")


def _end(cluster: Cluster, folder: Path) -> None:
    """Cancel all jobs, then stop the daemons by the process ids in the folder."""
    pids = {path.name: int(path.read_text()) for path in (folder / "pids").iterdir()}
    if _is_alive(pids.get("slurmctld", 0)):
        subprocess.run(["scancel", "-u", getuser()], env=cluster.environment, check=False)
        wait(lambda: not cluster.run("squeue", "-h"), 60, lambda: cluster.run("squeue"))
    for pid in filter(_is_alive, pids.values()):
        os.kill(pid, signal.SIGTERM)
    try:
        wait(lambda: not any(map(_is_alive, pids.values())), 20)
    except TimeoutError:
        for pid in filter(_is_alive, pids.values()):
            os.kill(pid, signal.SIGKILL)


def _is_alive(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        return pid > 0 and ") Z" not in Path("/proc", str(pid), "stat").read_text()
    except OSError:
        return False
