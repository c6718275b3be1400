"""The guide of the lab: its commands start it, its code prints what is shown, and what it names is there."""

import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request

import pytest

from rmsprop.expression.language import MAX_CHARACTERS
from rmsprop.lab.guard import MOST_BODY
from rmsprop.lab.learn import written
from rmsprop.lab.server import HOST, PORT, SECONDS
from rmsprop.lab.setup import LIMITS
from rmsprop.race.surface import ROWS
from tests import guides

GUIDE = guides.DOCS / "lab.md"
TEXT = GUIDE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, block in BLOCKS if not kind for line in block.splitlines() if line.startswith("rmsprop lab")]
START = "from rmsprop.cli import main; main()"


@pytest.mark.parametrize("command", COMMANDS)
def test_command_serves_the_page_until_ctrl_c(command):
    """As it is written, but for the browser and the port, of which another test may have taken the usual one."""
    line = [sys.executable, "-c", START, *shlex.split(command)[1:], "--no-browser", "--port", "0"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as lab:
        try:
            address = re.search(r"http://127\.0\.0\.1:\d+/", lab.stdout.readline())[0]
            with urllib.request.urlopen(address, timeout=30) as page:
                assert "rmsprop lab" in page.read().decode()
        finally:
            lab.send_signal(signal.SIGINT)
            out, err = lab.communicate(timeout=60)
        assert (lab.returncode, out, err) == (0, "", "")


def test_code_prints_what_is_shown(capsys):
    guides.run(GUIDE)
    out = capsys.readouterr().out
    (shown,) = [block for kind, block in BLOCKS if not kind and "arrives" in block]
    assert out.startswith(shown)
    assert len(out.splitlines()) == len(shown.splitlines()) + 3


def test_presets_that_are_named_exist():
    titles = {words["title"] for words in written("en")["presets"].values()}
    named = set(re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", TEXT.split("## Presets")[1].split("## Your own")[0]))
    assert len(named) > 12
    assert named <= titles


def test_limits_are_those_of_the_code():
    limits = TEXT.split("## What it refuses")[1]
    assert f"{LIMITS['runs'][1]}, {LIMITS['steps'][1]:,} each" in limits
    assert f"{MAX_CHARACTERS:,} characters" in limits
    assert LIMITS["csv"][1] == 1 << 20
    assert f"at most {ROWS:,} of its rows" in limits
    assert (MOST_BODY, SECONDS) == (2 << 20, 10)


def test_options_are_those_of_the_command():
    options = TEXT.split("| option |")[1].split("\n\n")[0]
    assert f"| {PORT} |" in options
    assert f"| {HOST} |" in options
    for option in ("--port", "--host", "--no-browser"):
        assert f"`{option}`" in options
