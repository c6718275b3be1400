"""What goes wrong is said where it belongs; the last good picture stays; the page goes on."""

import pytest
from playwright.sync_api import expect

from tests.lab.browser.conftest import serving

ATTACKS = ["__import__('os').system('ls')", "x.__class__", "(lambda: 1)()", "9**9**9**9*x*y", "x +", "<img src=x onerror=alert(1)>"]


def refused(lab, field):
    """The message at a field, which must be in the page's alert, too."""
    error = lab.page.locator(f"[data-field='{field}'] > .field-error")
    expect(error).to_be_visible()
    message = error.inner_text()
    expect(lab.page.locator("#alert-text")).to_have_text(message)
    expect(lab.page.locator(f"[data-field='{field}'] [aria-invalid=true]").first).to_be_attached()
    return message


def test_attacks_in_a_formula_are_refused(lab):
    lab.page.locator("input[name=land-kind][value=formula]").check(force=True)
    lab.settle()
    before = lab.drawing()
    with lab.allowing("400"):
        for attack in ATTACKS:
            lab.page.fill("#land-formula", attack)
            with lab.page.expect_response("**/api/trace") as answered:
                lab.page.press("#land-formula", "Enter")
            assert answered.value.status == 400
            assert refused(lab, "land.text")
            lab.settle()
            assert lab.drawing() == before
        assert lab.page.locator("img").count() == 0
        lab.shoot("refused")
    with lab.changing():
        lab.page.fill("#land-formula", "x**2 + y**2")
        lab.page.press("#land-formula", "Enter")
    expect(lab.page.locator("#alert")).to_be_hidden()
    expect(lab.page.locator(".wrong")).to_have_count(0)


@pytest.mark.parametrize(
    ("control", "text", "field", "words"),
    [
        ("steps", "1000000000", "steps", "1 to 5,000"),
        ("steps", "many", "steps", "'many'"),
        ("lr", "nan", "runs[0].lr", "nan"),
        ("lr", "-1", "runs[0].lr", "-1"),
        ("decay", "1.5", "runs[0].decay", "1.5"),
        ("eps", "Infinity", "runs[0].eps", "Infinity"),
        ("seed", "-3", "seed", "-3"),
    ],
)
def test_wrong_numbers_are_refused_at_their_field(lab, control, text, field, words):
    before = lab.drawing()
    with lab.allowing("400"):
        lab.type(control, text)
        assert words in refused(lab, field)
        lab.settle()
    assert lab.drawing() == before
    lab.page.locator("#alert-show").click()
    expect(lab.number(control)).to_be_focused()
    with lab.changing():
        lab.page.go_back()
    expect(lab.page.locator("#alert")).to_be_hidden()


def test_a_bad_table_is_refused_at_the_table(lab):
    lab.page.locator("input[name=land-kind][value=data]").check(force=True)
    lab.page.fill("#data-csv", "x,y\n1,2\n3,oops\n")
    lab.page.fill("#data-model", "y = a*x + b")
    with lab.allowing("400"):
        lab.page.click("#data-fit")
        expect(lab.page.locator("#alert")).to_be_visible()
        lab.settle()


def test_the_page_goes_on_when_the_server_comes_back(opened):
    with serving() as (address, process):
        lab = opened(address=address)
        lab.settle()
        before = lab.drawing()
        with lab.allowing("ERR_CONNECTION_REFUSED|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET|Failed to load"):
            process.terminate()
            process.wait()
            lab.slide("lr", 0.7)
            expect(lab.page.locator("#alert-text")).to_contain_text("The server does not answer")
            assert lab.drawing() == before
            lab.go(10)
            assert lab.step() == 10
            with serving(port=address.rsplit(":", 1)[1].strip("/")):
                expect(lab.page.locator("#alert")).to_be_hidden()
                lab.settle()
                assert lab.drawing() != before
