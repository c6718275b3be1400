"""A lab that runs: its own server in a thread, asked over the loopback."""

import asyncio
import json
import socket
from contextlib import contextmanager
from threading import Event, Thread

import httpx
import uvicorn

from rmsprop.lab import server

#: A small table, as a user pastes it.
CSV = "x,y\n" + "".join(f"{k / 10},{0.3 * k + 1 + 0.05 * (-1) ** k}\n" for k in range(20))
DATA = {"kind": "data", "csv": CSV, "model": "y = a*x + b", "over": None}


class Running:
    """What a running lab is asked through."""

    def __init__(self, port):
        self.port = port
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)

    def get(self, path, **options):
        return self.client.get(path, **options)

    def post(self, path, told, **options):
        return self.client.post(path, json=told, **options)

    def head(self, lines):
        """Return the head of a request of the page, with some lines more, as bytes."""
        head = f"POST /api/trace HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Type: application/json\r\n"
        return f"{head}{lines}\r\n\r\n".encode()

    def raw(self, sent, *more, wait=30.0):
        """Return the status and the JSON object that bytes on a fresh connection are answered with; the status alone if no JSON."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as connection:
            connection.sendall(sent)
            for part in more:
                connection.sendall(part)
            answer = b""
            while True:
                try:
                    part = connection.recv(65536)
                except ConnectionResetError:
                    break
                answer += part
                if not part:
                    break
        head, _, body = answer.partition(b"\r\n\r\n")
        status = int(head.split()[1]) if head else 0
        try:
            return status, json.loads(body)
        except ValueError:
            return status, None

    def good(self):
        """Return whether a good request is answered well."""
        answer = self.post("/api/trace", {"steps": 3})
        return answer.status_code == 200 and len(answer.json()["runs"][0]["loss"]) == 4


@contextmanager
def running(seconds=server.SECONDS):
    """Run a lab while the context lasts."""
    with server._listening("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        config = uvicorn.Config(server.application("127.0.0.1", port, seconds), log_level="critical", ws="none")
        inner = server._Server(config)
        listens = Event()
        inner.ready = listens.set
        thread = Thread(target=lambda: asyncio.run(inner.serve(sockets=[listener])))
        thread.start()
        try:
            assert listens.wait(30)
            lab = Running(port)
            yield lab
            lab.client.close()
        finally:
            inner.should_exit = True
            thread.join(30)
