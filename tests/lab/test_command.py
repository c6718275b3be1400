"""`rmsprop lab` as a user meets it."""

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest

from rmsprop.cli import run


@contextmanager
def started(*options, browser=None):
    """Run the command, and hand out its address and its process once it has printed the one."""
    code = "from rmsprop.cli import main; main()"
    if browser is not None:
        code = f"import webbrowser; webbrowser.open = lambda address: open({str(browser)!r}, 'w').write(address); {code}"
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", code, "lab", "--port", "0", *options]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            line = process.stdout.readline()
            found = re.fullmatch(r"rmsprop lab: (http://\S+:\d+/) \(Ctrl-C stops it\)\n", line)
            assert found, line + process.stderr.read()
            yield found[1], process
        finally:
            process.kill()


def test_it_prints_its_address_answers_and_stops_quietly():
    with started("--no-browser") as (address, process):
        assert address.startswith("http://127.0.0.1:")
        assert httpx.get(address).status_code == 200
        answer = httpx.post(f"{address}api/trace", json={"steps": 3}, timeout=60)
        assert len(answer.json()["runs"]) == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stdout.read() == ""
        assert process.stderr.read() == ""


def test_ctrl_c_stops_it_while_it_works():
    with started("--no-browser") as (address, process), httpx.Client(timeout=60) as client:
        with socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1][:-1]))) as waiting:
            waiting.sendall(b"POST /api/trace HTTP/1.1\r\n")
            assert client.get(address).status_code == 200
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        assert "Traceback" not in process.stderr.read()


def test_the_browser_is_sent_to_a_page_that_is_there(tmp_path):
    told = tmp_path / "address"
    with started(browser=told) as (address, process):
        assert httpx.get(address).status_code == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert told.read_text(encoding="utf-8") == address


def test_no_browser_is_opened_where_none_is_wanted(tmp_path):
    told = tmp_path / "address"
    with started("--no-browser", browser=told) as (_, process):
        process.send_signal(signal.SIGINT)
        process.wait(30)
    assert not told.exists()


def test_a_taken_port_is_named_with_the_remedy(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(["lab", "--no-browser", "--port", str(port)]) == 2
    assert capsys.readouterr().err == (
        f"rmsprop: error: cannot listen on 127.0.0.1: port {port} is taken; give another --port, or 0 for a free one\n"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--port", "70000"], "port must be from 0 to 65,535, got 70,000"),
        (["--port", "-1"], "port must be from 0 to 65,535"),
        (["--port", "x"], "Invalid value for '--port'"),
        (["--host", "256.1.1.1"], "it is no address of this machine"),
        (["--host", "192.0.2.1", "--port", "0"], "it is no address of this machine"),
        (["--host", ""], "host must be an address"),
        (["--host", "a" * 70 + ".b"], "it is no address of this machine"),
    ],
)
def test_a_place_that_cannot_be_listened_on_is_refused(capsys, options, message):
    assert run(["lab", "--no-browser", *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("library", ["starlette", "uvicorn", "plotly"])
def test_a_missing_library_is_named_with_what_installs_it(library):
    hide = f"import sys; sys.modules[{library!r}] = None; from rmsprop.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", hide, "lab", "--port", "0"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"rmsprop: error: {library.capitalize()} is not installed; install it with: pip install 'rmsprop[lab]'\n"
