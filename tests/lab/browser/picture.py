"""Make the documentation's picture of the lab: `python -m tests.lab.browser.picture docs/images/lab.png`."""

import sys

from playwright.sync_api import sync_playwright

from tests.lab.browser.conftest import ARGUMENTS, chromium, serving
from tests.lab.browser.lab import Lab


def main(place):
    """Write the picture."""
    with serving() as (address, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        context = browser.new_context(viewport={"width": 1440, "height": 1010}, locale="en-US", color_scheme="light")
        lab = Lab(context, address).open()
        lab.preset("adagrad-stalls")
        lab.page.wait_for_selector("#arithmetic-lines math")
        lab.go(120)
        lab.settle()
        lab.page.screenshot(path=place)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
