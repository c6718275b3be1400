"""Every control: what is set is what is run, and what is shown."""

import pytest
from playwright.sync_api import expect

from rmsprop.dialects import dialect
from rmsprop.lab.learn import CONTROLS

# Of RMSprop's numbers: what is typed, and where a slider is put.
NUMBERS = {"lr": 0.02, "decay": 0.5, "eps": 0.001, "momentum": 0.9, "weight_decay": 0.1, "square_init": 1.0}
CHOICES = {"eps_place": "inside", "weight_decay_form": "decoupled", "centered_form": "difference"}
SWITCHES = ("nesterov", "centered", "bias_correction", "lr_in_momentum")


def test_every_control_of_the_lessons_is_there(lab):
    assert [name for name in CONTROLS if lab.control(name).count() == 0] == []


def test_numbers_and_their_sliders(lab):
    lab.page.click("#run-more > summary")
    for name, value in NUMBERS.items():
        with lab.changing():
            lab.type(name, value)
        assert lab.traced[0]["runs"][0][name] == value
        before = lab.traced[1]["runs"][0]["p"]
        for share in (0.3, 0.6):
            with lab.changing():
                lab.slide(name, share)
        setup, answer = lab.traced
        assert float(lab.number(name).input_value()) == setup["runs"][0][name] != value
        assert answer["setup"]["runs"][0][name] == setup["runs"][0][name]
        assert answer["runs"][0]["p"] != before or name == "eps"


def test_choices_and_switches(lab):
    lab.page.click("#run-more > summary")
    with lab.changing():
        lab.type("momentum", 0.5)
    for name, value in CHOICES.items():
        with lab.changing():
            lab.control(name).locator("select").select_option(value)
        assert lab.traced[1]["setup"]["runs"][0][name] == value
    for name in SWITCHES:
        switch = lab.control(name).locator("input")
        was = switch.is_checked()
        with lab.changing():
            switch.click()
        assert lab.traced[1]["setup"]["runs"][0][name] is not was


def test_a_dialect_brings_its_own_numbers_and_leaves_the_learning_rate(lab):
    with lab.changing():
        lab.control("dialect").locator("select").select_option("graves")
    run = lab.traced[1]["setup"]["runs"][0]
    graves = dialect("graves")
    assert (run["lr"], run["decay"], run["eps"], run["centered"]) == (0.03, graves.decay, graves.eps, True)
    assert float(lab.number("decay").input_value()) == graves.decay
    assert lab.control("centered").locator("input").is_checked()
    assert float(lab.number("lr").input_value()) == 0.03


def test_an_emptied_number_is_the_dialects_own_again(lab):
    with lab.changing():
        lab.type("decay", 0.5)
    with lab.changing():
        lab.type("decay", "")
    lab.page.locator("h1").click()
    assert "decay" not in lab.traced[0]["runs"][0]
    assert lab.traced[1]["setup"]["runs"][0]["decay"] == 0.9


def test_runs_are_added_copied_chosen_and_removed(lab):
    before = len(lab.traced[1]["runs"])
    with lab.changing():
        lab.page.select_option("#run-add", "adam")
    with lab.changing():
        lab.page.locator("#run-list li").last.get_by_role("button", name="Copy").click()
    with lab.changing():
        lab.type("lr", 0.2)
    setup, answer = lab.traced
    assert [run["optimizer"] for run in setup["runs"][before:]] == ["adam", "adam"]
    assert [run["label"] for run in answer["runs"][before:]] == ["adam, lr 0.001", "adam, lr 0.2"]
    looks = [(run["look"]["color"], run["look"]["symbol"]) for run in answer["runs"]]
    assert len(set(looks)) == len(looks)
    lab.page.locator("#run-list li").nth(before).get_by_role("button", name="Copy").click()
    lab.settle()
    while lab.page.locator("#run-list li").count() > 1:
        count = lab.page.locator("#run-list li").count()
        lab.page.locator("#run-list li").first.get_by_role("button", name="Remove").click()
        expect(lab.page.locator("#run-list li")).to_have_count(count - 1)
    expect(lab.page.locator("#run-list li").first.get_by_role("button", name="Remove")).to_be_disabled()
    for count in range(2, 9):
        lab.page.locator("#run-list li").first.get_by_role("button", name="Copy").click()
        expect(lab.page.locator("#run-list li")).to_have_count(count)
    expect(lab.page.locator("#run-list li").first.get_by_role("button", name="Copy")).to_be_disabled()
    expect(lab.page.locator("#run-add")).to_be_disabled()
    lab.settle()
    assert len(lab.traced[1]["runs"]) == 8


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adagrad", "adadelta", "adam"])
def test_rivals_have_their_own_fields(opened, optimizer):
    lab = opened()
    with lab.changing():
        lab.control("optimizer").locator("select").select_option(optimizer)
    run = lab.traced[1]["setup"]["runs"][0]
    names = [name for name in run if name != "optimizer"]
    fields = lab.page.locator("#run-fields [data-control]").evaluate_all("(all) => all.map((one) => one.dataset.control)")
    assert fields == ["optimizer", *names]
    for name in names:
        assert float(lab.number(name).input_value()) == run[name]
    lab.page.wait_for_selector("#arithmetic-text:not([hidden])")
    assert "←" in lab.page.locator("#arithmetic-text").inner_text()


def test_the_experiment(lab):
    with lab.changing():
        lab.type("steps", 123)
    lab.expect_text("#step-last", "123")
    for schedule in ("cosine", "linear", "exponential", "step", "constant"):
        with lab.changing():
            lab.control("schedule").locator("select").select_option(schedule)
        assert lab.traced[1]["setup"]["schedule"] == schedule
    for noise in ("gaussian", "multiplicative", "mask", "outliers"):
        with lab.changing():
            lab.control("noise").locator("select").select_option(noise)
        assert lab.traced[1]["setup"]["noise"].startswith(f"{noise}=")
    with lab.changing():
        lab.type("noise_strength", 0.25)
    assert lab.traced[1]["setup"]["noise"] == "outliers=0.25"
    before = lab.traced[1]["runs"][0]["p"]
    with lab.changing():
        lab.type("seed", 7)
    with lab.changing():
        lab.page.get_by_role("button", name="Another seed").click()
    assert lab.traced[1]["setup"]["seed"] == 8
    assert lab.traced[1]["runs"][0]["p"] != before


def test_every_landscape_is_drawn(lab):
    names = lab.page.locator("#land-name option").evaluate_all("(all) => all.map((one) => one.value)")
    assert len(names) >= 15
    drawn = set()
    for name in [*names[1:], names[0]]:
        if name != lab.page.locator("#land-name").input_value():
            with lab.changing():
                lab.page.select_option("#land-name", name)
        drawn.add((lab.page.locator("#land-title").inner_text(), lab.page.locator("#land-story").inner_text()))
    assert len(drawn) == len(names)


def test_a_slider_is_one_step_back_in_the_history(lab):
    before = lab.page.evaluate("history.length")
    slider = lab.control("lr").locator("input[type=range]")
    with lab.changing():
        for place in (300, 320, 350, 400):
            slider.evaluate("(slider, place) => void (slider.value = place)", place)
            slider.dispatch_event("input")
        slider.dispatch_event("change")
    lab.page.wait_for_timeout(400)
    assert lab.page.evaluate("history.length") == before + 1
    with lab.changing():
        lab.page.go_back()
    assert float(lab.number("lr").input_value()) == 0.03
