"""The routes of the lab: what each answers, in what form, and that none keeps the others waiting."""

import json
import socket
import threading
import time

import pytest

from rmsprop.lab import server
from rmsprop.lab.answers import plain
from rmsprop.lab.arithmetic import arithmetic
from rmsprop.lab.cache import Cache
from rmsprop.lab.catalog import catalog
from rmsprop.lab.deadline import Deadline, TimeUpError
from rmsprop.lab.export import KINDS
from rmsprop.lab.guard import Guard
from rmsprop.lab.learn import LANGUAGES, learn
from rmsprop.lab.presets import presets
from rmsprop.lab.setup import Setup
from rmsprop.lab.trace import run_of, trace
from tests.lab.harness import DATA, running

SETUP = {"runs": [{"optimizer": "rmsprop", "dialect": "tf1", "lr": 0.02}, {"optimizer": "adam", "lr": 0.1}], "steps": 20}


def strict(answer):
    """Return an answer's JSON, which must be JSON to the letter."""
    assert answer.status_code == 200, answer.text[:300]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    return json.loads(answer.content, parse_constant=pytest.fail)


def as_json(value):
    return json.loads(json.dumps(plain(value), allow_nan=False))


def test_the_catalog_names_all_there_is(lab):
    told = strict(lab.get("/api/catalog"))
    assert told == as_json(catalog())
    assert set(told) == {"landscapes", "optimizers", "dialects", "schedules", "noises", "limits", "default", "presets"}
    assert Setup.from_json(told["default"]) == Setup()
    for preset in told["presets"]:
        assert Setup.from_json(preset["setup"]).to_json() == preset["setup"]


@pytest.mark.parametrize("lang", LANGUAGES)
def test_lessons_and_presets_come_in_each_language(lab, lang):
    assert strict(lab.get("/api/learn", params={"lang": lang})) == as_json(learn(lang))
    assert strict(lab.get("/api/catalog", params={"lang": lang}))["presets"] == as_json(presets(lang))


def test_a_trace_is_what_python_traces(lab):
    told = strict(lab.post("/api/trace", SETUP))
    assert told == as_json(trace(Setup.from_json(SETUP)))
    assert set(told) == {
        "names", "title", "story", "start", "window", "minima", "lowest", "target", "unit", "setup", "runs", "memory", "data",
    }  # fmt: skip
    for run in told["runs"]:
        assert set(run) == {
            "label", "optimizer", "dialect", "lr", "look", "loss", "height", "level", "p", "state", "diverged_at", "arrived_at",
        }  # fmt: skip
        assert len(run["loss"]) == len(run["p"][0]) == len(run["p"][1]) == 21
        assert all(len(part) == 21 for state in run["state"].values() for part in state)


@pytest.mark.parametrize("land", [{"kind": "named", "name": "logistic"}, {"kind": "formula", "text": "a**2 + b**4 + a*b"}, DATA])
def test_each_kind_of_landscape_has_a_trace_a_surface_and_arithmetic(lab, land):
    setup = SETUP | {"land": land}
    traced = strict(lab.post("/api/trace", setup))
    assert (traced["data"] is None) == (land["kind"] != "data")
    surface = strict(lab.post("/api/surface", {"land": land, "start": None}))
    assert len(surface["z"]) == len(surface["y"])
    assert len(surface["z"][0]) == len(surface["x"])
    left, right, bottom, top = traced["window"]
    assert [surface["x"][0], surface["x"][-1], surface["y"][0], surface["y"][-1]] == pytest.approx([left, right, bottom, top])
    for run in (0, 1):
        told = strict(lab.post("/api/arithmetic", {"setup": setup, "run": run}))
        assert told["columns"][-1]["key"] == "p_new"
        assert [part[-1] for part in told["columns"][-1]["values"]] == [part[-1] for part in traced["runs"][run]["p"]]


def test_arithmetic_is_what_python_works_out(lab):
    told = strict(lab.post("/api/arithmetic", {"setup": SETUP, "run": 0}))
    assert told == as_json(arithmetic(run_of(Setup.from_json(SETUP), 0)))


@pytest.mark.parametrize(("kind", "lang"), [*((kind, "en") for kind in KINDS), ("python", "zh")])
def test_exports_come_as_files(lab, kind, lang):
    answer = lab.post(f"/api/export/{kind}", {"setup": SETUP, "run": 1, "lang": lang})
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith('attachment; filename="rmsprop')
    begins = {"csv": b"step,lr,loss", "json": b"{\n", "gif": b"GIF89a", "python": b'"""'}
    assert answer.content.startswith(begins[kind])


def test_the_page_and_plotly_come_with_a_tag_that_saves_sending_them_again(lab):
    for path, kind in (("/", "text/html"), ("/page/index.html", "text/html"), ("/plotly.js", "text/javascript")):
        answer = lab.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
        assert answer.headers["cache-control"] == "no-cache"
        again = lab.get(path, headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    assert lab.get("/").content == lab.get("/page/index.html").content


def test_the_browser_is_held_to_this_server(lab):
    for answer in (lab.get("/"), lab.get("/nothing"), lab.post("/api/trace", SETUP), lab.post("/api/trace", {"x": 1})):
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
        assert policy["script-src"] == policy["connect-src"] == "'self'"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers


def test_head_is_a_get_without_the_body(lab):
    assert lab.client.head("/").content == b""
    assert lab.client.head("/").status_code == 200


def test_a_runaway_is_ended_and_keeps_nobody_waiting(monkeypatch):
    ended, began = threading.Event(), threading.Event()

    def runaway(told, deadline):
        began.set()
        try:
            while True:
                deadline.check()
                time.sleep(0.01)
        except TimeUpError:
            ended.set()
            raise

    monkeypatch.setattr(server, "surface", runaway)
    with running(seconds=2.0) as lab:
        answers = []
        thread = threading.Thread(target=lambda: answers.append(lab.post("/api/surface", {})))
        thread.start()
        assert began.wait(10)
        assert lab.good()
        assert not answers
        thread.join(30)
        assert answers[0].status_code == 503
        assert "take fewer steps, rows or optimizers" in answers[0].json()["error"]
        assert ended.wait(10)
        assert lab.good()


def test_work_that_heeds_no_limit_is_not_waited_for(monkeypatch):
    free = threading.Event()
    monkeypatch.setattr(server, "surface", lambda told, deadline: free.wait(60))
    with running(seconds=0.5) as lab:
        try:
            assert lab.post("/api/surface", {}).status_code == 503
            assert lab.post("/api/trace", {"x": 1}).status_code == 400
        finally:
            free.set()


def test_a_fault_of_the_labs_own_is_told_without_its_inside(monkeypatch):
    def faulty(told, deadline):
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(server, "surface", faulty)
    with running() as lab:
        answer = lab.post("/api/surface", {})
        assert answer.status_code == 500
        assert "on the terminal" in answer.json()["error"]
        assert "secret" not in answer.text
        assert lab.good()


def test_a_body_that_does_not_come_is_not_waited_for():
    with running(seconds=0.5) as lab:
        status, told = lab.raw(lab.head("Content-Length: 100"), b'{"steps"')
        assert status == 408
        assert "did not come" in told["error"]
        assert lab.good()


def test_many_slow_bodies_keep_nobody_waiting(lab):
    slow = [socket.create_connection(("127.0.0.1", lab.port)) for _ in range(60)]
    try:
        for connection in slow:
            connection.sendall(lab.head("Content-Length: 100") + b"{")
        assert lab.good()
    finally:
        for connection in slow:
            connection.close()
    assert lab.good()


@pytest.mark.parametrize(
    ("host", "asked", "answered"),
    [
        ("127.0.0.1", "127.0.0.1:80", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "[::1]", True),
        ("127.0.0.1", "lab.local:80", False),
        ("lab.local", "lab.local:80", True),
        ("lab.local", "LAB.local", True),
        ("lab.local", "other.local", False),
        ("fe80::1", "[fe80::1]:80", True),
        ("0.0.0.0", "192.168.1.7:80", True),
        ("0.0.0.0", "[fe80::2]:80", True),
        ("0.0.0.0", "evil.example:80", False),
        ("::", "192.168.1.7:80", True),
        ("127.0.0.1", "192.168.1.7:80", False),
    ],
)
def test_hosts_are_those_that_the_server_listens_on(host, asked, answered):
    assert Guard(None, host, 80, 1.0)._ours(asked) == answered


def test_a_cache_keeps_the_last_few_and_no_failure():
    cache, made = Cache(3), []
    for key in (1, 2, 3, 1, 4, 1, 2):
        assert cache.get(key, lambda key=key: made.append(key) or key) == key
    assert made == [1, 2, 3, 4, 2]
    assert len(cache._known) == 3
    with pytest.raises(ZeroDivisionError):
        cache.get("bad", lambda: 1 / 0)
    assert cache.get("bad", lambda: "good") == "good"


def test_what_two_threads_ask_for_at_once_is_worked_out_once():
    cache, made, ready = Cache(3), [], threading.Barrier(4)

    def work():
        time.sleep(0.2)
        made.append(1)
        return 7

    def ask():
        ready.wait()
        got.append(cache.get("key", work))

    got = []
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (got, made) == ([7] * 4, [1])


def test_a_deadline_passes_or_is_called_off():
    stop = threading.Event()
    Deadline(60, stop).check()
    with pytest.raises(TimeUpError):
        Deadline(-1).check()
    stop.set()
    with pytest.raises(TimeUpError):
        Deadline(60, stop).check(1, 2, "as a progress")
