"""A suite on a real SLURM: one node, which is this machine, from Debian's packages munge, slurmctld and slurmd.

    apt-get install munge slurmctld slurmd slurm-client

The daemons are started for the test with a configuration of their own and stopped after it; this needs root.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from myograph.evaluation.store import Store

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "sinfo")
SUITE = """
methods = ["lda", "always"]
datasets = [{ name = "tiny", subjects = "1-2" }]
protocols = ["usual", "KFoldRepetitions(2)"]
"""
MODULE = Path(__file__).with_name("suite_module.py")
CONFIGURATION = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=2500 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str:
    search = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    missing = [name for name in NEEDED if shutil.which(name, path=search) is None]
    if missing:
        return f"no SLURM here: {', '.join(missing)} not found; apt-get install munge slurmctld slurmd slurm-client"
    return "" if os.geteuid() == 0 else "the daemons of SLURM need root"


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


@contextlib.contextmanager
def daemon(*line, **environment):
    process = subprocess.Popen(line, env={**os.environ, **environment}, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A SLURM of one node; SLURM_CONF names its configuration."""
    if reason := why_not():
        pytest.skip(reason)
    monkeypatch.setenv("PATH", os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))
    host = socket.gethostname().split(".")[0]
    for name in ("state", "spool"):
        (tmp_path / name).mkdir()
    key, configuration = tmp_path / "munge.key", tmp_path / "slurm.conf"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    values = {"host": host, "folder": tmp_path, "controller": free_port(), "node": free_port()}
    configuration.write_text(CONFIGURATION.format(**values, cpus=os.cpu_count()))
    monkeypatch.setenv("SLURM_CONF", str(configuration))
    munge = ["munged", "--foreground", "--force", f"--socket={tmp_path}/munge.socket", f"--key-file={key}"]
    munge += [f"--{kind}-file={tmp_path}/munge.{kind}" for kind in ("log", "pid", "seed")]
    with contextlib.ExitStack() as stack:
        stack.enter_context(daemon(*munge))
        while not (tmp_path / "munge.socket").exists():
            time.sleep(0.1)
        stack.enter_context(daemon("slurmctld", "-D", "-f", str(configuration)))
        stack.enter_context(daemon("slurmd", "-D", "-f", str(configuration), "-N", host))
        while "idle" not in (
            state := subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True).stdout
        ):
            assert "drain" not in state, (tmp_path / "slurmctld.log").read_text()
            time.sleep(0.2)
        yield


@pytest.mark.nightly
def test_a_suite_runs_as_slurm_jobs_and_gives_the_store_of_one_process(slurm, tmp_path):
    file = tmp_path / "suite.toml"
    file.write_text(SUITE + '[cluster]\nmemory = "2GB"\nwalltime = "00:20:00"\nlog_directory = "jobs"\n')
    # A job starts in this folder, and writes what its workers need beside it.
    line = [sys.executable, "-m", "myograph.cli", "benchmark", str(file), "--module", str(MODULE), "--json", "--out"]
    here = subprocess.run([*line, str(tmp_path / "here")], capture_output=True, text=True, cwd=tmp_path)
    assert json.loads(here.stdout)["computed"] == 4, here.stderr
    there = [*line, str(tmp_path / "there"), "--cluster", "slurm"]
    found = subprocess.run(there, capture_output=True, text=True, cwd=tmp_path)
    assert json.loads(found.stdout)["computed"] == 4, found.stderr
    jobs = list((tmp_path / "jobs").glob("*.out")) + list((tmp_path / "jobs").glob("*.err"))
    assert jobs, "no job was started"
    assert Store(tmp_path / "there").contents() == Store(tmp_path / "here").contents()
