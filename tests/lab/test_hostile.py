"""Requests that no page of the lab sends: each is refused with a plain message, and the lab goes on."""

import json
import socket
from contextlib import suppress

import pytest

from rmsprop.lab.guard import MOST_BODY
from tests.expression.test_language import ATTACKS
from tests.lab.harness import CSV, DATA
from tests.lab.test_setup import REFUSED

JSON = {"content-type": "application/json"}
GOOD = json.dumps({"steps": 2}).encode()


@pytest.fixture(scope="module", autouse=True)
def alive(lab):
    """The lab answers before and after whatever these tests send."""
    assert lab.good()
    yield
    assert lab.good()


def refused(answer, *statuses):
    """Check that an answer refuses, in a few plain words, and lets nothing of the inside out."""
    assert answer.status_code in statuses, answer.text[:500]
    told = answer.json()
    assert set(told) == {"error", "field"}
    assert 10 < len(told["error"]) < 700
    for inside in ("Traceback", "site-packages", ".py", "object at 0x", "Error:"):
        assert inside not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    return told


HOSTS = [
    "evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:{other}", "127.0.0.1.evil.example:{port}", "localhost",
    "", "localhost.evil.example:{port}", "evil.example@127.0.0.1:{port}", "127.0.0.1:{port}.evil.example", "0.0.0.0:{port}",
    ":{port}", "[::1]:{other}", "[::2]:{port}", "10.0.0.1:{port}", "127.0.0.2:{port}", "127.1:{port}", "2130706433:{port}",
    "localhost:{port} x", "localhost:{port}/", "xn--lcalhost-0ya:{port}", "localhost.:{port}",
]  # fmt: skip
ORIGINS = [
    "null", "https://evil.example", "http://evil.example", "http://evil.example:{port}", "http://127.0.0.1", "http://localhost",
    "https://127.0.0.1:{port}", "http://127.0.0.1:{other}", "http://127.0.0.1:{port}.evil.example", "file://", "ftp://127.0.0.1:{port}",
    "http://127.0.0.1.evil.example:{port}", "chrome-extension://abc", "http://[::2]:{port}", "127.0.0.1:{port}", "",
    "http://127.0.0.1:{port}/page", "http://evil.example@127.0.0.1:{port}",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("path", ["/", "/api/trace"])
def test_another_host_is_not_answered(lab, host, path):
    host = host.format(port=lab.port, other=lab.port + 1)
    method = "POST" if path.startswith("/api") else "GET"
    sent = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(GOOD)}\r\n\r\n"
    status, told = lab.raw(sent.encode() + GOOD)
    assert status in (400, 421)
    assert status == 400 or "open it at the address that it printed" in told["error"]


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("path", ["/api/trace", "/api/export/python"])
def test_a_page_of_another_origin_is_not_answered(lab, origin, path):
    headers = JSON | {"origin": origin.format(port=lab.port, other=lab.port + 1)}
    told = refused(lab.client.post(path, content=GOOD, headers=headers), 403)
    assert "its own page" in told["error"]


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none", "x"])
def test_a_post_that_the_browser_says_comes_from_elsewhere_is_not_answered(lab, site):
    refused(lab.client.post("/api/trace", content=GOOD, headers=JSON | {"sec-fetch-site": site}), 403)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]", "LOCALHOST"])
def test_the_pages_own_host_and_origin_are_answered(lab, name):
    host = f"{name}:{lab.port}"
    headers = JSON | {"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}
    assert lab.client.post("/api/trace", content=GOOD, headers=headers).status_code == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "X" * 30])
@pytest.mark.parametrize("path", ["/", "/api/trace"])
def test_other_methods_are_refused(lab, method, path):
    status, told = lab.raw(f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{lab.port}\r\nConnection: close\r\n\r\n".encode())
    assert status in (400, 405)
    assert told is None or "GET, HEAD, POST" in told["error"]


PATHS = [
    "/../setup.py", "/page/../setup.py", "/page/..%2fsetup.py", "/page/%2e%2e/setup.py", "/page/%2e%2e%2fserver.py",
    "/page//etc/passwd", "/page/....//setup.py", "/page/..\\setup.py", "/page/..%5csetup.py", "/page/%00",
    "/page/index.html%00.js", "/page/index.html/", "/page/", "/page", "//page/index.html", "/page/index.html/..",
    "/page/INDEX.HTML", "/page/.", "/etc/passwd", "/%2fetc/passwd", "/page/%c0%ae%c0%ae/setup.py", "/page/index.html%20",
    "/page/file:///etc/passwd", "/api", "/api/", "/api/nothing", "/api/export/", "/api/export/exe", "/api/export/../trace",
    "/plotly.js/x", "/__init__.py", "/.git/config", "/page/" + "a" * 900, "/%", "/%zz",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_no_other_path_leads_anywhere(lab, path):
    status, told = lab.raw(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{lab.port}\r\nConnection: close\r\n\r\n".encode())
    assert status in (400, 404)
    assert "there is nothing here" in told["error"]


@pytest.mark.parametrize("path", ["/api/trace", "/api/surface", "/api/arithmetic", "/api/export/csv", "/api/export/gif"])
def test_what_is_posted_to_is_not_gotten(lab, path):
    refused(lab.get(path), 405)


@pytest.mark.parametrize("path", ["/", "/api/catalog", "/plotly.js"])
def test_what_is_gotten_is_not_posted_to(lab, path):
    refused(lab.client.post(path, content=GOOD, headers=JSON), 405)


@pytest.mark.parametrize("path", ["/" + "a" * 1_001, "/?" + "a" * 1_001, "/api/catalog?lang=" + "e" * 1_000])
def test_an_address_that_is_too_long_is_refused(lab, path):
    refused(lab.get(path), 414)


@pytest.mark.parametrize("lang", ["fr", "", "EN", "en\0", "../en", "en,zh", "<script>", "変"])
def test_other_languages_are_refused(lab, lang):
    assert refused(lab.get("/api/catalog", params={"lang": lang}), 400)["field"] == "lang"
    assert refused(lab.post("/api/export/python", {"setup": {}, "lang": lang}), 400)["field"] == "lang"


BODIES = {
    "nothing": b"",
    "a space": b" ",
    "no JSON": b"steps=5",
    "truncated": GOOD[:-1],
    "two values": GOOD + GOOD,
    "a comma more": b'{"steps": 5,}',
    "single quotes": b"{'steps': 5}",
    "a comment": b'{"steps": 5} // x',
    "NaN": b'{"start": [NaN, 1]}',
    "Infinity": b'{"start": [Infinity, 1]}',
    "-Infinity": b'{"runs": [{"optimizer": "sgd", "lr": -Infinity}]}',
    "1e999": b'{"start": [1e999, 1]}',
    "a number of a million digits": b'{"steps": ' + b"9" * 1_000_000 + b"}",
    "a number of 4,000 digits": b'{"steps": ' + b"9" * 4_000 + b"}",
    "lists in lists": b"[" * 500_000,
    "lists in lists, closed": b"[" * 100_000 + b"]" * 100_000,
    "objects in objects": b'{"land":' * 100_000,
    "deep in the setup": b'{"land": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}",
    "no UTF-8": b'{"schedule": "\xff\xfe"}',
    "UTF-16": '{"steps": 5}'.encode("utf-16"),
    "half a character": b'{"schedule": "\\ud800"}',
    "half a character as a key": b'{"\\ud800": 1}',
    "a zero byte": b'{"steps": 5}\0',
    "a long key": b'{"' + b"a" * 1_000_000 + b'": 1}',
    "many keys": b"{" + b",".join(b'"k%d":1' % k for k in range(100_000)) + b"}",
    "a long text": b'{"schedule": "' + b"a" * 1_500_000 + b'"}',
    "many runs": b'{"runs": [' + b",".join([b"{}"] * 200_000) + b"]}",
    "a pickle": b"\x80\x04\x95\x0f\x00\x00\x00",
    "a keyword": b"None",
    "text": b'"steps"',
    "a number": b"5",
}


@pytest.mark.parametrize("path", ["/api/trace", "/api/surface", "/api/arithmetic"])
@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_no_setup_is_refused(lab, name, path):
    refused(lab.client.post(path, content=BODIES[name], headers=JSON), 400)


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "json",
        "*/*",
    ],
)
def test_a_body_that_a_form_could_send_is_refused(lab, kind):
    headers = {} if kind is None else {"content-type": kind}
    refused(lab.client.post("/api/trace", content=GOOD, headers=headers), 415)


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd"])
def test_a_packed_body_is_refused(lab, encoding):
    refused(lab.client.post("/api/trace", content=GOOD, headers=JSON | {"content-encoding": encoding}), 415)


@pytest.mark.parametrize(
    "lines",
    [
        "Content-Length: -1",
        "Content-Length: x",
        "Content-Length: 99999999999999999999999",
        "Content-Length: 12\r\nContent-Length: 13",
        "Content-Length: 12\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: x",
        "Host: evil.example",
        "Origin: http://evil.example\r\nOrigin: http://127.0.0.1",
        "X: " + "a" * 100_000,
        "\r\n",
    ],
    ids=lambda lines: lines[:40],
)
def test_headers_that_do_not_belong_together_are_refused(lab, lines):
    status, _ = lab.raw(lab.head(f"Connection: close\r\n{lines}") + GOOD)
    assert 400 <= status < 500


@pytest.mark.parametrize(
    "sent", [b"\0" * 100, b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"A" * 200_000, b"\r\n\r\n"]
)
def test_what_is_no_http_is_not_answered_as_such(lab, sent):
    with socket.create_connection(("127.0.0.1", lab.port), timeout=30) as connection:
        answer = b""
        with suppress(OSError):  # the server may hang up before all is sent
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(1000)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 421"))


def test_a_body_of_a_gigabyte_is_refused_before_it_is_sent(lab):
    status, told = lab.raw(lab.head(f"Content-Length: {10**9}"))
    assert status == 413
    assert "paste fewer rows" in told["error"]


@pytest.mark.parametrize("size", [MOST_BODY + 1, 3 * MOST_BODY])
def test_a_body_that_is_too_large_is_refused(lab, size):
    answer = lab.client.post("/api/trace", content=iter([b" " * 65536] * (size // 65536 + 1)), headers=JSON)
    refused(answer, 413)


def test_a_body_without_end_is_cut_off(lab):
    sent = 0
    with socket.create_connection(("127.0.0.1", lab.port), timeout=30) as connection:
        connection.sendall(lab.head("Transfer-Encoding: chunked"))
        with suppress(OSError):
            while sent < 1 << 30:
                connection.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
                sent += 65536
    # What the system holds between two ends of a connection comes on top of what is read.
    assert sent < 16 * MOST_BODY


@pytest.mark.parametrize("text", ATTACKS, ids=lambda text: repr(text[:20]))
@pytest.mark.parametrize("place", ["formula", "model"])
def test_an_attack_on_the_formulas_is_refused(lab, text, place):
    land = {"kind": "formula", "text": text} if place == "formula" else DATA | {"model": f"y = a*x + b + {text}"}
    body = json.dumps({"land": land, "steps": 3})
    told = refused(lab.client.post("/api/trace", content=body, headers=JSON), 400)
    assert told["field"].startswith("land")


FORMULAS = [
    "x",
    "x*y*z",
    "1",
    "pi*e",
    "0*x*y",
    "sqrt(-1-x**2-y**2)",
    "9**9**9*x*y",
    "x*y*10**(10**10)",
    "log(x*y)/0",
    "1/0*x+y",
    "exp(1e9)*x*y",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_that_nothing_can_run_on_is_refused(lab, text):
    told = refused(lab.post("/api/trace", {"land": {"kind": "formula", "text": text}}), 400)
    assert told["field"] == "land.text"
    assert "--" not in told["error"]


CSVS = {
    "only a header": "x,y\n",
    "no rows at all": "\n\n\n",
    "text in a number's place": "x,y\n1,2\n2,foo\n",
    "a row too wide": "x,y\n1,2\n3,4,5\n",
    "an open quote": 'x,y\n1,2\n"3,4\n5,6\n',
    "HTML": "<html><body>x</body></html>",
    "a zero byte": "x,y\n1,\0\n",
    "a spreadsheet": "PK\x03\x04" + "a" * 100,
    "a PDF": "%PDF-1.4\n1,2\n",
    "carriage returns": "x,y\r1,2\r3,4\r",
    "thousands": "x;y\n1,000;2,000\n3,000;4,000\n",
    "only missing cells": "x,y\nNA,NA\n,\n",
    "infinite": "x,y\ninf,1\n-inf,2\n",
    "another column's name": "u,y\n1,2\n2,3\n",
    "one column": "y\n1\n2\n",
    "dates": "x,y\n2020-01-01,1\n2020-01-02,2\n",
    "a formula of a spreadsheet": "x,y\n=1+1,2\n=cmd|' /C calc'!A0,3\n",
    "a long cell": "x,y\n1,2\n" + "a" * 200_000 + ",1\n",
    "a title": "My data\nx,y\n1,2\n3,4\n",
    "parted by spaces": "x y\n1 2\n3 4\n",
    "binary as text": "\x01\x02\x03\x04",
    "a path": "/etc/passwd",
    "an address": "http://127.0.0.1:1/data.csv",
}


@pytest.mark.parametrize("name", CSVS)
@pytest.mark.parametrize("path", ["/api/trace", "/api/surface"])
def test_a_table_that_cannot_be_read_is_refused(lab, name, path):
    told = refused(lab.post(path, {"land": DATA | {"csv": CSVS[name]}}), 400)
    assert told["field"].startswith("land")


MODELS = [
    "y",
    "y = ",
    "= a*x",
    "y == a*x + b",
    "y = a*x = b",
    "y ~ a*x + b",
    "z = a*x + b",
    "y = y*a + b",
    "y = x",
    "y = a*x",
    "a*x + b = y",
]


@pytest.mark.parametrize("model", MODELS)
def test_a_model_that_does_not_fit_the_table_is_refused(lab, model):
    refused(lab.post("/api/trace", {"land": DATA | {"model": model}}), 400)


@pytest.mark.parametrize(
    "over", [["a", "a"], ["a", "q"], ["q", "r"], ["x", "a"], ["a"], [], ["a", "b", "c"], [["a"], "b"], "ab", {"a": 1}, [1, 2]]
)
def test_parameters_that_the_model_does_not_have_are_refused(lab, over):
    refused(lab.post("/api/trace", {"land": DATA | {"over": over}}), 400)


@pytest.mark.parametrize("row", range(len(REFUSED)))
def test_a_setup_that_cannot_be_run_is_refused(lab, row):
    told, field, message = REFUSED[row]
    body = json.dumps(told)
    got = refused(lab.client.post("/api/trace", content=body, headers=JSON), 400)
    if "NaN" not in body and "Infinity" not in body:
        assert got["field"] == field
        assert message in got["error"]


@pytest.mark.parametrize("start", [[1e308, 1e308], [-1e308, 1e308], [1e200, 1e200]])
def test_a_start_where_nothing_is_finite_is_refused(lab, start):
    told = refused(lab.post("/api/trace", {"land": {"kind": "named", "name": "rosenbrock"}, "start": start}), 400)
    assert told["field"] == "start"
    assert "choose another start" in told["error"]


@pytest.mark.parametrize(
    "window", [[0, 0, 0, 1], [1, 0, 0, 1], [0, 1, 2, 1], [0, 1], "all", [0, 1, 0, None], [0, 1, 0, 1, 2], {"l": 0}]
)
def test_a_window_that_is_none_is_refused(lab, window):
    told = refused(lab.post("/api/surface", {"land": {"kind": "named", "name": "abs"}, "window": window}), 400)
    assert told["field"].startswith("window")


@pytest.mark.parametrize("run", [-1, 1, 10**30, 0.0, "0", True, None, [0]])
def test_a_run_that_is_not_there_is_refused(lab, run):
    for path in ("/api/arithmetic", "/api/export/csv"):
        assert refused(lab.post(path, {"setup": {"steps": 2}, "run": run}), 400)["field"] == "run"


@pytest.mark.parametrize(
    "told",
    [{}, {"setup": {}, "path": "/etc/passwd"}, {"run": 0}, {"setup": None}, {"setup": "../x"}, [], {"setup": {}, "name": "x"}],
)
def test_an_export_of_nothing_is_refused(lab, told):
    refused(lab.post("/api/export/json", told), 400)


def test_the_largest_setup_is_answered(lab):
    runs = [{"optimizer": "rmsprop", "dialect": "graves", "lr": 0.01 * k} for k in range(8)]
    rows = "".join(f"{k},{k % 17}\n" for k in range(3_000))
    land = DATA | {"csv": "x,y\n" + rows, "model": "y = a*x + b"}
    answer = lab.post("/api/trace", {"runs": runs, "steps": 5_000, "land": land, "noise": "outliers"})
    assert answer.status_code in (200, 503)
    assert len(CSV) < len(rows)
