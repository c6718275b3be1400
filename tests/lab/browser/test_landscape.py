"""The landscape: the start by pointer and keys, the part that is seen, the surface."""

import pytest
from playwright.sync_api import expect


def centre(locator):
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_click_sets_the_start(lab):
    box = lab.page.locator("#landscape-plot").bounding_box()
    with lab.changing():
        lab.page.mouse.click(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.3)
    start = lab.traced[0]["start"]
    left, right, bottom, top = lab.traced[1]["window"]
    assert left < start[0] < right
    assert bottom < start[1] < top
    assert lab.traced[1]["runs"][0]["p"][0][0] == start[0]
    assert [float(lab.page.locator(f"#start-{axis}").input_value()) for axis in "xy"] == start
    x, y = centre(lab.page.locator("#start-handle"))
    assert x == pytest.approx(box["x"] + box["width"] * 0.7, abs=2)
    assert y == pytest.approx(box["y"] + box["height"] * 0.3, abs=2)
    with lab.changing():
        lab.page.click("#start-reset")
    assert lab.traced[0]["start"] is None


def test_a_drag_takes_the_start_along(lab):
    x, y = centre(lab.page.locator("#start-handle"))
    asked = len(lab.traces)
    lab.page.mouse.move(x, y)
    lab.page.mouse.down()
    lab.page.mouse.move(x + 90, y + 40, steps=6)
    lab.settle()
    assert len(lab.traces) > asked  # while it is dragged
    with lab.changing():
        lab.page.mouse.move(x + 120, y + 60, steps=4)
        lab.page.mouse.up()
    lab.settle()
    assert centre(lab.page.locator("#start-handle")) == pytest.approx((x + 120, y + 60), abs=2)
    before = lab.page.url
    lab.page.wait_for_timeout(400)
    with lab.changing():
        lab.page.go_back()
    assert lab.traced[0]["start"] is None
    assert lab.page.url != before


def test_arrow_keys_move_the_start_and_not_the_clock(lab):
    step = lab.step()
    lab.page.locator("#start-handle").focus()
    with lab.changing():
        lab.page.keyboard.press("ArrowRight")
    one = lab.traced[0]["start"]
    with lab.changing():
        lab.page.keyboard.press("Shift+ArrowUp")
    ten = lab.traced[0]["start"]
    assert one == [pytest.approx(-2.94), 0.2]
    assert ten == [one[0], pytest.approx(0.6)]
    assert lab.step() == step


def test_numbers_set_the_start(lab):
    with lab.changing():
        lab.page.fill("#start-x", "1.5")
        lab.page.keyboard.press("Enter")
    assert lab.traced[0]["start"] == [1.5, 0.2]


def test_zoom_by_buttons_wheel_and_drag(lab):
    def shown():
        return [float(text.replace("−", "-")) for text in lab.page.locator("#landscape-plot .xtick text").all_text_contents()]

    whole = shown()
    with lab.page.expect_response("**/api/surface"):
        lab.page.click("#zoom-in")
    lab.settle()
    near = shown()
    assert max(near) - min(near) < max(whole) - min(whole)
    box = lab.page.locator("#landscape-plot").bounding_box()
    x, y = box["x"] + 0.6 * box["width"], box["y"] + 0.4 * box["height"]
    with lab.page.expect_response("**/api/surface"):
        lab.page.mouse.move(x, y)
        lab.page.mouse.down()
        lab.page.mouse.move(x - 150, y, steps=4)
        lab.page.mouse.up()
    lab.settle()
    assert shown() != near
    lab.page.keyboard.down("Control")
    with lab.page.expect_response("**/api/surface"):
        lab.page.mouse.wheel(0, -200)
    lab.page.keyboard.up("Control")
    with lab.page.expect_response("**/api/surface"):
        lab.page.click("#zoom-fit")
    lab.settle()
    assert shown() == whole


def test_the_surface_turns_and_keeps_its_camera(lab):
    lab.page.locator("input[name=mode][value='3d']").check(force=True)
    lab.page.wait_for_selector("#surface-plot canvas")
    expect(lab.page.locator("#flat")).to_be_hidden()
    lab.settle()
    plain = lab.fragment()
    x, y = centre(lab.page.locator("#surface-plot"))
    lab.page.mouse.move(x, y)
    lab.page.mouse.down()
    lab.page.mouse.move(x + 120, y + 20, steps=5)
    lab.page.mouse.up()
    lab.page.wait_for_timeout(600)
    assert lab.fragment() != plain
    lab.go(100)
    lab.settle()
    lengths = lab.page.locator("#surface-plot").evaluate("(plot) => plot.data.slice(1).map((way) => way.x.length)")
    assert lengths == [101, 1] * len(lab.traced[1]["runs"])
    lab.shoot("surface")
