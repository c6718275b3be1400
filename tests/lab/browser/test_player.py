"""The clock, and what follows it."""

import re

from playwright.sync_api import expect


def test_it_plays_pauses_and_ends(lab):
    lab.page.select_option("#speed", "1000")
    lab.page.click("#play")
    lab.expect_text("#step-now", "600")
    expect(lab.page.locator("#play")).to_have_accessible_name("Play")
    lab.page.select_option("#speed", "15")
    lab.page.click("#play")
    lab.expect_text("#step-now", re.compile(r"^([3-9]|\d\d)$"))
    expect(lab.page.locator("#play")).to_have_accessible_name("Pause")
    lab.page.click("#play")
    at = lab.step()
    lab.page.wait_for_timeout(300)
    assert 3 <= lab.step() == at < 300


def test_buttons_step(lab):
    lab.page.click("#to-start")
    assert lab.step() == 0
    expect(lab.page.locator("#arithmetic-none")).to_be_visible()
    lab.page.click("#step-forward")
    lab.page.click("#step-forward")
    lab.page.click("#step-back")
    assert lab.step() == 1
    lab.page.click("#to-end")
    assert lab.step() == 600


def test_pictures_and_numbers_follow_the_clock(lab):
    shown = []
    for step in (0, 50, 400):
        lab.go(step)
        lab.settle()
        pictures = [
            lab.page.locator(f"#{name}-plot ~ .overlay").evaluate("(c) => c.toDataURL()")
            for name in ("landscape", "loss", "memory")
        ]
        shown.append((*pictures, lab.page.locator("#loss-legend").inner_text(), lab.page.locator("#memory-legend").inner_text()))
    assert all(len(set(each)) == 3 for each in zip(*shown, strict=True))


def test_the_loss_beside_a_name_is_that_of_the_step(lab):
    _, answer = lab.traced
    lab.go(7)
    shown = lab.page.locator("#loss-legend .value").first.inner_text()
    assert abs(float(shown) - answer["runs"][0]["loss"][7]) <= 1e-3 * abs(answer["runs"][0]["loss"][7])


def test_a_drag_on_the_losses_moves_the_clock(lab):
    box = lab.page.locator("#loss-plot").bounding_box()
    lab.page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 60)
    lab.page.mouse.down()
    first = lab.step()
    lab.page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 60, steps=5)
    lab.page.mouse.up()
    assert 0 < first < lab.step() < 600


def test_keys(lab):
    press = lab.page.keyboard.press
    press("Home")
    assert lab.step() == 0
    press("ArrowRight")
    press("Shift+ArrowRight")
    assert lab.step() == 11
    press("ArrowLeft")
    assert lab.step() == 10
    press("End")
    assert lab.step() == 600
    press("Home")
    press("Space")
    lab.expect_text("#step-now", re.compile(r"^[1-9]"))
    press("Space")
    expect(lab.page.locator("#play")).to_have_accessible_name("Play")
    press("2")
    expect(lab.page.locator("#loss-legend li").nth(1)).to_have_class("chosen")
    press(".")
    expect(lab.page.locator("#speed")).to_have_value("120")
    press(",")
    press(",")
    expect(lab.page.locator("#speed")).to_have_value("30")
    press("x")
    expect(lab.page.locator("#arithmetic-parameter input").nth(1)).to_be_checked()
    press("d")
    expect(lab.page.locator("#surface-plot")).to_be_visible()
    press("d")
    press("?")
    expect(lab.page.locator("#help-dialog")).to_be_visible()
    at = lab.step()
    press("ArrowRight")
    assert lab.step() == at  # a dialog is open: keys are not for what is behind it
    press("Escape")
    press("t")
    expect(lab.page.locator("html")).to_have_attribute("data-theme", "dark")
    press("l")
    expect(lab.page.locator("#learn")).to_be_visible()


def test_keys_in_fields_are_the_fields_own(lab):
    lab.go(5)
    box = lab.number("lr")
    box.click()
    for key in ("Home", "ArrowRight", "Space", "ArrowLeft", "2", "l", "d"):
        lab.page.keyboard.press(key)
    assert lab.step() == 5
    expect(lab.page.locator("#loss-legend li").first).to_have_class("chosen")
    expect(lab.page.locator("#learn")).to_be_hidden()
    assert "l" in box.input_value()
    with lab.allowing("400"):
        lab.page.keyboard.press("Escape")
        lab.page.locator("#main").click(position={"x": 5, "y": 5})
    lab.page.locator("#speed").focus()
    lab.page.keyboard.press("ArrowRight")
    assert lab.step() == 5


def test_a_space_on_a_button_presses_that_button(lab):
    lab.go(5)
    lab.page.locator("#step-forward").focus()
    lab.page.keyboard.press("Space")
    assert lab.step() == 6
    expect(lab.page.locator("#play")).to_have_accessible_name("Play")


def test_a_screen_reader_hears_where_the_clock_is(lab):
    lab.go(12)
    lab.expect_text("#live", re.compile(r"^Step 12 of 600\. rmsprop: loss \d"))


def test_who_wants_no_motion_gets_none_unasked(opened):
    lab = opened(reduced_motion="reduce")
    moving = lab.page.evaluate("document.getAnimations().filter((a) => a.playState === 'running').length")
    assert moving == 0
    lab.page.click("#play")
    lab.expect_text("#step-now", re.compile(r"^[1-9]"))
