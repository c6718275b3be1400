"""The page as a test sees it: what a user does on it, and what may not go wrong meanwhile."""

import json
import re
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page, Response, expect

#: Where pictures of the page are left for people to look at.
SCREENSHOTS = Path(__file__).parents[3] / "screenshots"
# Chromium's own remarks on how Plotly draws.
_OTHERS = re.compile(r"GL Driver Message|willReadFrequently|WebGL")
# A machine that does much else takes long to draw.
_PATIENCE_MS = 30_000
expect.set_options(timeout=_PATIENCE_MS)
# Longer than the page waits for a change to be followed by another.
_HELD_BACK_MS = 100
_VIOLATIONS = (
    """addEventListener("securitypolicyviolation", (event) => console.error("CSP", event.violatedDirective, event.blockedURI));"""
)


class Lab:
    """A page in a browser's context.

    Args:
        context: a fresh one.
        address: of the server.
    """

    def __init__(self, context, address):
        self.context = context
        self.address = address
        self.troubles = []
        self.traces = []  # each trace that was answered: (setup, answer)
        self._asked = self._open = 0  # requests so far, and those without an end
        self._allowed = None
        context.set_default_timeout(_PATIENCE_MS)
        context.add_init_script(_VIOLATIONS)
        context.on("request", self._requested)
        for end in ("requestfinished", "requestfailed"):
            context.on(end, self._ended)
        context.on("console", self._told)
        context.on("weberror", lambda error: self.troubles.append(str(error.error)))
        self.page: Page = context.new_page()
        self.page.on("response", self._answered)

    def open(self, path=""):
        """Go to the page and wait until it shows something."""
        self.page.goto(self.address + path)
        self.page.wait_for_selector("body.ready")
        self.page.wait_for_selector("#loss-legend li")
        self.page.wait_for_selector("#landscape-plot .xaxislayer-above, #surface-plot canvas")
        return self

    @contextmanager
    def allowing(self, pattern):
        """Within this, errors on the console that match are what the test is about."""
        self._allowed = re.compile(pattern)
        yield
        self.page.wait_for_timeout(50)
        self._allowed = None

    def _requested(self, request):
        self._asked += 1
        self._open += 1
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc != urlsplit(self.address).netloc:
            self.troubles.append(f"asked another host: {request.url}")

    def _ended(self, request):
        self._open -= 1

    def _told(self, message):
        wanted = _OTHERS.search(message.text) or (self._allowed and self._allowed.search(message.text))
        if message.type in ("error", "warning") and not wanted:
            self.troubles.append(f"{message.type}: {message.text}")

    def _answered(self, response: Response):
        if response.url.endswith("/api/trace") and response.ok:
            self.traces.append(response)

    @property
    def traced(self):
        """The last setup that was answered, and the answer."""
        last = self.traces[-1]
        return json.loads(last.request.post_data), last.json()

    @contextmanager
    def changing(self):
        """Within this, something is done that changes the trace; waits for the answer and until it is shown."""
        with self.page.expect_response(lambda response: response.url.endswith("/api/trace") and response.ok):
            yield
        self.settle()

    def settle(self):
        """Wait until nothing is asked any more, after what the page holds back for a moment, and two frames have been drawn."""
        asked = -1
        while self._open or asked != self._asked:
            asked = self._asked
            self.page.evaluate("(held) => new Promise((done) => setTimeout(done, held))", _HELD_BACK_MS)
            self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def control(self, name):
        """The element of a control by its name."""
        return self.page.locator(f"[data-control={name}]").first

    def number(self, name):
        """The number's box of a control."""
        return self.control(name).locator("input.number").first

    def type(self, name, text):
        """Type a number into a control's box, and Enter."""
        box = self.number(name)
        box.fill(str(text))
        box.press("Enter")

    def slide(self, name, share):
        """Move a control's slider to a place between its ends."""
        slider = self.control(name).locator("input[type=range]").first
        slider.evaluate("(slider, share) => void (slider.value = slider.max * share)", share)
        for kind in ("input", "change"):
            slider.dispatch_event(kind)

    def preset(self, name):
        """Choose a preset."""
        self.page.click("#presets")
        with self.changing():
            self.page.click(f"[data-preset={name}]")

    def step(self):
        """The number of the step that is shown."""
        return int(self.page.locator("#step-now").inner_text())

    def go(self, step):
        """Set the clock."""
        self.page.locator("#scrub").evaluate(
            "(scrub, step) => { scrub.value = step; scrub.dispatchEvent(new Event('input')); }", step
        )

    def fragment(self):
        """The address after #, once it is written."""
        self.page.wait_for_timeout(450)
        return "#" + urlsplit(self.page.url).fragment

    def drawing(self):
        """What is drawn above the landscape, as a picture in text."""
        return self.page.locator(".plot-frame > .overlay").first.evaluate("(canvas) => canvas.toDataURL()")

    def shoot(self, name, full=False):
        """Leave a picture for people to look at."""
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=full)

    def expect_text(self, selector, text):
        """Wait until an element has a text, or one that matches."""
        expect(self.page.locator(selector).first).to_have_text(text)
