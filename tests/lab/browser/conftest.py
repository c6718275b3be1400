"""A server and a browser for all tests of the page, and a page for each that fails on whatever goes wrong in it."""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tests.lab.browser.lab import Lab

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"] + [
    f"--disable-{what}" for what in ("background-networking", "component-update", "sync")
]


def chromium():
    """Where a Chromium is, or None."""
    names = [os.environ.get("RMSPROP_CHROMIUM") or "chromium", "chromium", "chromium-browser", "google-chrome"]
    return next((found for name in names if (found := shutil.which(name))), None)


def pytest_collection_modifyitems(items):
    if chromium() is None and not os.environ.get("CI"):
        reason = "THE LAB'S PAGE IS NOT TESTED: no Chromium was found; install Debian's chromium, or set RMSPROP_CHROMIUM"
        for item in items:
            if "tests/lab/browser" in str(item.path):
                item.add_marker(pytest.mark.skip(reason=reason))


@contextmanager
def serving(port=0):
    """A lab of its own process; yields its address and the process."""
    code = f"from rmsprop.lab.server import serve; serve('127.0.0.1', {port}, lambda address: print(address, flush=True))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip(), process
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def server():
    with serving() as (address, _):
        yield address


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    path = chromium()
    assert path, "no Chromium was found: in CI the page of the lab must be tested"
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield found
        found.close()


@pytest.fixture
def opened(browser, server):
    """A function that opens the lab in a browser as a user has set it up; what went wrong in any page fails the test at its end."""
    labs = []

    def begin(path="", address=server, **options):
        context = browser.new_context(
            **{"viewport": {"width": 1440, "height": 900}, "locale": "en-US", "color_scheme": "light", **options}
        )
        labs.append(Lab(context, address))
        return labs[-1].open(path)

    yield begin
    for lab in labs:
        lab.context.close()
    assert [trouble for lab in labs for trouble in lab.troubles] == []


@pytest.fixture
def lab(opened):
    return opened()
