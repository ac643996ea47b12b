"""Interrupts processes as Ctrl-C does; none of them outlives its test."""

from __future__ import annotations

import os
import signal
import subprocess


def interrupted(process: subprocess.Popen[str], seconds: float = 60) -> tuple[str, str]:
    """What a process writes when it is interrupted, with its group where it has one of its own."""
    leads = os.getpgid(process.pid) == process.pid
    send = os.killpg if leads else os.kill
    send(process.pid, signal.SIGINT)
    try:
        return process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        send(process.pid, signal.SIGKILL)
        process.communicate()
        raise
