"""The lessons: three lengths, a glossary that leads to the controls, cards."""

import re

import pytest
from playwright.sync_api import expect

from rmsprop.lab.learn import learn


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_three_lengths(opened, lang):
    lab = opened()
    lab.page.select_option("#language", lang)
    lab.page.click("#learn-open")
    lengths = []
    for length, told in learn(lang)["lessons"].items():
        lab.page.click(f"#tab-{length}")
        lab.expect_text("#learn-content h3", told["title"])
        lengths.append(len(lab.page.locator("#learn-content").inner_text()))
        assert lab.page.locator("#learn-content math").count() == sum(
            block["kind"] == "formula" for section in told["sections"] for block in section["blocks"]
        )
    assert lengths == sorted(lengths)
    lab.shoot(f"learn-{lang}")


def test_every_term_leads_to_its_control(lab):
    lab.page.click("#learn-open")
    lab.page.click("#tab-glossary")
    for term in learn("en")["glossary"]:
        lab.page.locator(f"#term-{term['id']} .term-links a").first.click()
        control = lab.control(term["control"])
        expect(control).to_be_visible()
        expect(control).to_have_class(re.compile(r"\blit\b"))
        assert control.evaluate("(one) => one.contains(document.activeElement) || one === document.activeElement")


def test_links_in_a_lesson_lead_to_terms_and_presets(lab):
    lab.page.click("#learn-open")
    lab.page.locator("#learn-content a").first.click()
    expect(lab.page.locator("#tab-glossary")).to_have_attribute("aria-selected", "true")
    expect(lab.page.locator(".term.lit")).to_have_count(1)
    link = lab.page.locator(".term-links a", has_text="Try it").first
    with lab.changing():
        link.click()
    expect(lab.page.locator("#preset-now")).to_be_visible()


def test_cards_by_keyboard(lab):
    cards = learn("en")["cards"]
    lab.page.click("#learn-open")
    lab.page.click("#tab-cards")
    lab.page.locator(".cards").focus()
    press = lab.page.keyboard.press
    expect(lab.page.locator(".answer")).to_have_count(0)
    press("Enter")
    expect(lab.page.locator(".answer")).to_have_count(1)
    press("2")
    lab.expect_text(".card-progress", f"0 of {len(cards)} known")
    for known in range(1, len(cards) + 1):
        lab.page.locator("[data-card=reveal]").press("Enter")
        press("1")
        lab.expect_text(".card-progress", f"{known} of {len(cards)} known")
    lab.expect_text(".question", "You knew all of them.")
    lab.page.click("[data-card=again]")
    lab.expect_text(".card-progress", f"0 of {len(cards)} known")


def test_cards_are_shuffled_and_lead_to_their_term(lab):
    lab.page.click("#learn-open")
    lab.page.click("#tab-cards")
    seen = set()
    for _ in range(8):
        lab.page.click("[data-card=shuffle]")
        seen.add(lab.page.locator(".question").inner_text())
    assert len(seen) > 1
    lab.page.click("[data-card=reveal]")
    lab.page.click("[data-card=term]")
    expect(lab.page.locator(".term.lit")).to_have_count(1)


def test_tabs_by_keyboard_and_escape_closes(lab):
    lab.page.keyboard.press("l")
    lab.page.locator("#tab-short").focus()
    lab.page.keyboard.press("ArrowLeft")
    expect(lab.page.locator("#tab-cards")).to_be_focused()
    lab.page.keyboard.press("Escape")
    expect(lab.page.locator("#learn")).to_be_hidden()
    expect(lab.page.locator("#learn-open")).to_be_focused()
