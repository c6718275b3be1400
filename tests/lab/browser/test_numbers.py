"""The step in numbers: the rule's formulas, and under each the same line with the run's own numbers."""

import re

from playwright.sync_api import expect


def text_of(locator):
    return re.sub(r"\s+", "", locator.evaluate("(one) => one.textContent"))


def test_the_lines_are_filled_with_the_numbers_of_the_step(lab):
    with lab.page.expect_response("**/api/arithmetic") as answered, lab.changing():
        lab.type("steps", 40)
    told = answered.value.json()
    lab.settle()
    keys = [line["key"] for line in told["lines"]]
    assert keys[:4] == ["square", "v_new", "denominator", "rate"]
    for step, parameter in ((1, 0), (7, 1), (40, 0)):
        lab.go(step)
        lab.page.locator("#arithmetic-parameter input").nth(parameter).check(force=True)
        lines = lab.page.locator("#arithmetic-lines .equation")
        expect(lines).to_have_count(len(keys))
        for k, key in enumerate(keys):
            value = told["quantities"][key]["values"][parameter][step - 1]
            end = text_of(lines.nth(k).locator(".with-numbers")).rsplit("=", 1)[1]
            assert number(end) == float(f"{value:.5g}") or abs(number(end) - value) <= 1e-4 * abs(value)
        cells = lab.page.locator(f"#arithmetic-summary tbody tr:nth-child({parameter + 1}) td").all_inner_texts()
        assert len(cells) == len(told["columns"])
        for cell, column in zip(cells, told["columns"], strict=True):
            value = column["values"][parameter][step - 1]
            assert abs(number(cell) - value) <= 1e-4 * abs(value)


def number(text):
    """A number as the page writes it."""
    raised = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
    mantissa, _, power = text.replace("−", "-").partition("×10")
    return float(mantissa) * 10.0 ** int(power.translate(raised) or 0)


def test_formulas_hold_no_letter_once_they_are_filled(lab):
    lab.go(3)
    filled = lab.page.locator("#arithmetic-lines .with-numbers math")
    assert filled.count() >= 6
    for k in range(filled.count()):
        right = text_of(filled.nth(k)).split("=", 1)[-1]
        assert not re.search(r"[A-Za-zβηελμθ]", right), right


def test_centered_momentum_has_more_lines(lab):
    lines = lab.page.locator("#arithmetic-lines .equation")
    lab.settle()
    before = lines.count()
    with lab.changing():
        lab.control("centered").locator("input").click()
    with lab.changing():
        lab.type("momentum", 0.9)
    expect(lines).to_have_count(before + 2)
    expect(lab.page.locator("math merror")).to_have_count(0)


def test_memory_shows_the_one_grow_and_the_other_forget(lab):
    memory = lab.traced[1]["memory"]
    assert memory["sum"][0][-1] > memory["sum"][0][300] > memory["sum"][0][1]
    lab.go(300)
    shown = [number(text) for text in lab.page.locator("#memory-legend .value").all_inner_texts()]
    for value, name in zip(shown, ("average", "sum"), strict=True):
        assert abs(value - memory[name][0][300]) <= 1e-3 * memory[name][0][300]
    lab.page.keyboard.press("x")
    lab.expect_text("#memory-of", "of y, over the same gradients")
