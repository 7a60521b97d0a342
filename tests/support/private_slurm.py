"""A SLURM of one's own: daemons on this computer that play a cluster, all in one folder.

Nothing under /etc, /run or /var is read or written, no service is started, root is not needed.
Needs the programs of Debian's `slurm-wlm`.
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
OF_JOBS = ("SLURM_", "SBATCH_", "SRUN_", "MASTER_", "RNN_LAB_RUN")
OVER = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")

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
        environment: Variables for its clients, such as `sbatch`.
    """

    def __init__(self, folder: Path) -> None:
        own = {name: text for name, text in os.environ.items() if not name.startswith(OF_JOBS)}
        self.environment = own | {"SLURM_CONF": str(folder / "slurm.conf")}

    def run(self, *words: str | Path) -> str:
        """Run a client and give what it says."""
        finished = subprocess.run(
            words, env=self.environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert finished.returncode == 0, f"{words}: {finished.stderr}"
        return finished.stdout.strip()

    def about(self, job: str, key: str) -> str:
        """What the controller says of a job, such as its `JobState`."""
        found = re.search(rf"(?:^| ){key}=(\S*)", self.run("scontrol", "show", "job", "-o", job))
        return found[1] if found else ""

    def state(self, job: str) -> str:
        """State of a job."""
        return self.about(job, "JobState")

    def ended(self, job: str, seconds: float = 240) -> str:
        """Wait until a job is over; its state then. A job that is put back is not."""
        wait(lambda: self.state(job) in OVER, seconds, lambda: f"{job}: {self.state(job)}")
        return self.state(job)


def wait(until: Callable[[], bool], seconds: float, about: Callable[[], str] = str) -> None:
    """Wait for something.

    Raises:
        TimeoutError: If it does not come.
    """
    end = time.monotonic() + seconds
    while not until():
        if time.monotonic() > end:
            raise TimeoutError(f"waited for {seconds} s: {about()}")
        time.sleep(0.2)


def missing() -> list[str]:
    """Programs that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


@contextmanager
def private_slurm(folder: Path, nodes: int = 2, *, warning: bool = True) -> Iterator[Cluster]:
    """Start a cluster, and end it.

    Args:
        folder: An empty one.
        nodes: How many computers it plays.
        warning: Whether a job that is to make room is sent its own signal, not SIGTERM.
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
    prolog = folder / "prolog"  # the names of the nodes mean nothing to the network
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
    """The first of some neighboring ports that nobody listens at."""
    for first in range(26_800 + os.getpid() % 1000, 30_000, number):
        sockets = [socket.socket() for _ in range(number)]
        try:
            for offset, each in enumerate(sockets):
                each.bind(("127.0.0.1", first + offset))
        except OSError:
            continue
        finally:
            for each in sockets:
                each.close()
        return first
    raise RuntimeError("no free ports")


def _end(cluster: Cluster, folder: Path) -> None:
    """Cancel all jobs, then end the daemons that wrote their numbers into the folder."""
    numbers = {path.name: int(path.read_text()) for path in (folder / "pids").iterdir()}
    if _lives(numbers.get("slurmctld", 0)):
        subprocess.run(["scancel", "-u", getuser()], env=cluster.environment, check=False)
        wait(lambda: not cluster.run("squeue", "-h"), 60, lambda: cluster.run("squeue"))
    for number in filter(_lives, numbers.values()):
        os.kill(number, signal.SIGTERM)
    try:
        wait(lambda: not any(map(_lives, numbers.values())), 20)
    except TimeoutError:
        for number in filter(_lives, numbers.values()):
            os.kill(number, signal.SIGKILL)


def _lives(number: int) -> bool:
    """Whether there is a process of this number that is not about to be forgotten."""
    try:
        return number > 0 and ") Z" not in Path("/proc", str(number), "stat").read_text()
    except OSError:
        return False
