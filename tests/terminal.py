"""What a command draws on a terminal."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest


def drawn(command: Sequence[str], folder: Path, environment: dict[str, str]) -> bytes:
    """Run a command whose stderr is a terminal, and return what it wrote there."""
    pty = pytest.importorskip("pty", reason="pseudo-terminals are POSIX")
    parent, child = pty.openpty()
    environment = {**environment, "TERM": "xterm"}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=child) as process:
        os.close(child)
        told = b""
        while True:
            try:
                part = os.read(parent, 65536)
            except OSError:
                break
            if not part:
                break
            told += part
    os.close(parent)
    assert process.returncode == 0
    return told
