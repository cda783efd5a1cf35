from __future__ import annotations

import os
import subprocess
import sys

import pytest

from config.supervisor import identity


def test_it_stays_the_same_while_the_process_lives() -> None:
    assert identity.identity(os.getpid())
    assert identity.identity(os.getpid()) == identity.identity(os.getpid())


def test_it_survives_exec() -> None:
    with subprocess.Popen(
        ["sh", "-c", "echo; read go; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        before = identity.identity(process.pid)
        process.stdin.write("go\nhello\n")
        process.stdin.flush()
        assert process.stdout.readline() == "hello\n"
        assert identity.identity(process.pid) == before
        process.stdin.close()


def test_an_ended_process_has_none_before_it_is_reaped() -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert identity.identity(process.pid) is None
    process.wait()
    assert identity.identity(process.pid) is None


@pytest.mark.skipif(sys.platform != "linux", reason="the other way is the only one there")
def test_ps_knows_the_same_processes_as_proc() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        assert identity._ps_identity(process.pid)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert identity._ps_identity(process.pid) is None


def test_killing_a_leader_ends_its_group() -> None:
    with subprocess.Popen(["sh", "-c", "cat & wait"], stdout=subprocess.PIPE, start_new_session=True) as leader:
        assert leader.stdout is not None
        identity.kill(leader.pid)
        leader.wait(5)
        assert leader.stdout.read() == b""  # the end comes only when the member of the group is gone too
    identity.kill(leader.pid)
