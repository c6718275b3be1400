"""How the page looks and reads: two languages, dark and light, narrow and wide, and what screen readers are told."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from rmsprop.lab import server
from tests.lab.browser.audits import FAINT, NAMELESS, READ

WORDS = {lang: json.loads((Path(server.__file__).parent / "page/text" / f"{lang}.json").read_text()) for lang in ("en", "zh")}
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


def test_both_languages_have_the_same_words():
    own = {key for key in WORDS["zh"] if key.startswith("story.")}  # the server has these in English
    assert set(WORDS["zh"]) - own == set(WORDS["en"])
    for key, text in WORDS["en"].items():
        assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", WORDS["zh"][key])), key


# What is the same in every language: names, formulas, code.
SAME = re.compile(
    "rmsprop|adagrad|adadelta|adam|sgd|nesterov|momentum|lr|decay|eps|place|article|rosenbrock|beale|himmelblau|rastrigin"
    "|english|csv|sin|cos|exp|log|sqrt|abs|tanh|pi|shift|home|end|ctrl|tab|utf|png|gif|json|python|lab|learn|fit",
    re.IGNORECASE,
)


def test_no_english_is_left_in_chinese(opened):
    lab = opened(locale="zh-CN")
    expect(lab.page.locator("html")).to_have_attribute("lang", "zh-Hans")
    expect(lab.page.locator("#play")).to_have_accessible_name("播放")
    for button in ("#help", "#export"):
        lab.page.click(button)
        left = [
            word for word in re.findall(r"[A-Za-z]{2,}", lab.page.locator("dialog[open]").inner_text()) if not SAME.fullmatch(word)
        ]
        assert left == []
        lab.page.keyboard.press("Escape")
    read = lab.page.evaluate(READ)
    assert [word for word in re.findall(r"[A-Za-z]{2,}", read) if not SAME.fullmatch(word)] == []


def test_the_language_changes_everything_at_once(lab):
    lab.page.select_option("#language", "zh")
    lab.expect_text("[data-t='nav.presets']", "预设")
    expect(lab.control("lr").locator("label")).to_have_text(WORDS["zh"]["field.lr"])
    lab.page.select_option("#language", "en")
    lab.expect_text("[data-t='nav.presets']", "Presets")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("size", "name"), [(WIDE, "wide"), (NARROW, "narrow")])
def test_every_size_and_theme(opened, scheme, size, name):
    lab = opened(viewport=size, color_scheme=scheme, locale="zh-CN" if scheme == "dark" else "en-US")
    expect(lab.page.locator("html")).to_have_attribute("data-theme", scheme)
    assert lab.page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    lab.page.wait_for_selector("#arithmetic-lines math")
    lab.settle()
    assert lab.page.evaluate(FAINT) == []
    lab.shoot(f"{name}-{scheme}")
    lab.shoot(f"{name}-{scheme}-whole", full=True)
    if name == "narrow":
        lab.page.click("#sheet")
        expect(lab.page.locator("#controls")).to_be_visible()
        with lab.changing():
            lab.slide("lr", 0.5)
        lab.shoot(f"{name}-{scheme}-sheet")
        lab.page.click("#sheet")
        lab.page.click("#learn-open")
        lab.page.click("#tab-glossary")
        lab.page.locator(".term-links a").first.click()
        expect(lab.page.locator("#learn")).to_be_hidden()  # it would cover the control
        lab.page.click("#presets")
        lab.shoot(f"{name}-{scheme}-presets")


def test_the_theme_follows_the_system_until_the_user_chooses(lab):
    lab.page.emulate_media(color_scheme="dark")
    expect(lab.page.locator("html")).to_have_attribute("data-theme", "dark")
    lab.page.click("#theme")
    expect(lab.page.locator("html")).to_have_attribute("data-theme", "light")
    lab.page.emulate_media(color_scheme="light")
    expect(lab.page.locator("html")).to_have_attribute("data-theme", "light")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_all_that_one_can_act_on_has_a_name(opened, lang):
    lab = opened()
    lab.page.select_option("#language", lang)
    lab.expect_text("[data-t='nav.presets']", WORDS[lang]["nav.presets"])
    lab.page.click("#learn-open")
    lab.page.wait_for_selector("#learn-content h3")
    lab.page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    assert lab.page.evaluate(NAMELESS) == []
    ids = lab.page.evaluate(
        "[...document.querySelectorAll('[id]')].map((one) => one.id).filter((id, k, all) => all.indexOf(id) !== k)"
    )
    assert ids == []
    roles = lab.page.locator("#controls").aria_snapshot()
    assert "slider" in roles
    assert "textbox" in roles


def test_tab_reaches_the_controls_and_shows_where_it_is(lab):
    lab.page.keyboard.press("Tab")
    expect(lab.page.locator(".skip")).to_be_focused()
    lab.page.keyboard.press("Tab")
    expect(lab.page.locator("#presets")).to_be_focused()
    outline = lab.page.locator("#presets").evaluate("(one) => getComputedStyle(one).outlineStyle")
    assert outline == "solid"
