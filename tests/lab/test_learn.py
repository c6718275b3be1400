"""The lessons: whole and alike in both languages, and what they say in numbers is what the rule does."""

import copy
import math
import re

import numpy as np
import pytest

from rmsprop.dialects import dialect
from rmsprop.errors import UsageError
from rmsprop.lab import learn as module
from rmsprop.lab.learn import CONTROLS, LANGUAGES, LENGTHS, learn, written
from rmsprop.lab.setup import Setup
from rmsprop.lab.trace import trace, trajectories
from rmsprop.race.landscapes import landscape
from rmsprop.race.rivals import rival
from tests.tolerances import RELATIVE

CLOSE, NEARLY = RELATIVE["lab, rounding"].share, RELATIVE["lab, epsilon"].share
MARK = re.compile(r"\[([^\]]+)\]\((term|control|preset):([a-z0-9_-]+)\)")
# Terms that are looked up rather than met.
LOOKED_UP = {
    "loss",
    "step",
    "seed",
    "ulp",
    "ravine",
    "plateau",
    "saddle",
    "local-minimum",
    "outlier",
    "divergence",
    "adam",
    "decoupled-decay",
}
# Names that stay as they are in Chinese.
NAMES = "RMSprop|Adagrad|Adam|SGD|Nesterov|PyTorch|TensorFlow|alpha|rho|ulp"


def texts(told, path=""):
    """Yield every text with its place."""
    if isinstance(told, str):
        yield path, told
    elif isinstance(told, list):
        for k, each in enumerate(told):
            yield from texts(each, f"{path}[{k}]")
    else:
        for key, each in told.items():
            if key not in ("id", "control", "preset", "term", "formula"):
                yield from texts(each, f"{path}.{key}")


def plain(text):
    """Return a text without its links' targets."""
    return MARK.sub(r"\1", text).replace("**", "")


def prose(lang, length):
    """Return the paragraphs of a lesson as one text."""
    sections = written(lang)["lessons"][length]["sections"]
    return " ".join(plain(text) for section in sections for _, text in texts(section["blocks"]))


# Both languages.


def skeleton(told):
    """Return the structure of texts: their keys and ids, and of each text where its links lead."""
    if isinstance(told, dict):
        return {key: each if key in ("id", "control", "preset", "term") else skeleton(each) for key, each in told.items()}
    if isinstance(told, list):
        return [skeleton(each) for each in told]
    return sorted((kind, to) for _, kind, to in MARK.findall(told))


def test_languages_have_one_structure():
    assert skeleton(written("en")) == skeleton(written("zh"))


def test_numbers_are_the_same_in_both_languages():
    chinese = dict(texts(written("zh")))
    for place, text in texts(written("en")):
        found = [set(re.findall(r"\d+\.\d+", t)) for t in (text, chinese[place])]
        assert found[0] == found[1], place


def test_there_is_enough_to_learn():
    for lang in LANGUAGES:
        told = learn(lang)
        assert list(told["lessons"]) == list(LENGTHS)
        assert len(told["glossary"]) >= 25
        assert len(told["cards"]) >= 20
        for part in ("glossary", "cards"):
            ids = [each["id"] for each in told[part]]
            assert len(ids) == len(set(ids))
        assert len(told["lessons"]["detailed"]["sections"]) == 11


@pytest.mark.parametrize(
    ("length", "words", "characters"),
    [("short", (45, 75), (80, 160)), ("standard", (200, 300), (350, 600)), ("detailed", (800, 1000), (1200, 1800))],
)
def test_lengths_are_what_they_are_called(length, words, characters):
    assert words[0] <= len(prose("en", length).split()) <= words[1]
    assert characters[0] <= len(re.findall(r"[\u4e00-\u9fff]", prose("zh", length))) <= characters[1]


def test_no_english_is_left_in_chinese():
    for place, text in texts(written("zh")):
        rest = re.sub(r"`[^`]*`|y = a[^，：]*", "", plain(text))
        words = re.findall(r"[A-Za-z]{3,}", re.sub(NAMES, "", rest))
        assert not words, (place, words)
        assert re.search(r"[\u4e00-\u9fff]", text) or rest in ("", "。", "Adagrad", "Adam"), place


def test_chinese_is_set_in_full_width_punctuation():
    for place, text in texts(written("zh")):
        rest = re.sub(r"`[^`]*`", "M", plain(text))
        assert not re.search(r"[,:;?!()]", rest), place


def test_english_has_no_chinese():
    for place, text in texts(written("en")):
        assert not re.search(r"[\u3000-\u9fff\uff00-\uffef]", text), place


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_term_is_linked_from_some_text_or_card(lang):
    told = written(lang)
    linked = {to for _, text in texts(told) for _, kind, to in MARK.findall(text) if kind == "term"} | {
        card["term"] for card in told["cards"]
    }
    assert {term["id"] for term in told["glossary"]} - linked <= LOOKED_UP


# What a page gets.


def test_pieces_hold_the_whole_text_and_no_marks():
    pieces = learn("en")["lessons"]["short"]["sections"][0]["blocks"][0]["pieces"]
    assert "".join(piece["text"] for piece in pieces) == plain(
        written("en")["lessons"]["short"]["sections"][0]["blocks"][0]
    ).replace("`", "")
    assert {"kind": "term", "text": "gradient", "to": "gradient"} in pieces
    assert {"kind": "math", "text": "v"} in pieces
    for lang in LANGUAGES:
        for _, text in texts(learn(lang)):
            assert text.startswith("<math ") or not re.search(r"\]\(|`|\*\*|<", text), text


def test_formulas_are_printed_from_the_rule():
    blocks = [block for section in learn("zh")["lessons"]["detailed"]["sections"] for block in section["blocks"]]
    (formula,) = [block for block in blocks if block["kind"] == "formula"]
    assert formula["dialect"] == "article"
    assert "<msqrt>" in formula["mathml"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda told: told["glossary"][0].update(text="[x](term:nowhere)"), "term 'nowhere'"),
        (lambda told: told["glossary"][0].update(control="nowhere"), "control 'nowhere'"),
        (lambda told: told["glossary"][0].update(preset="nowhere"), "preset 'nowhere'"),
        (lambda told: told["cards"][0].update(term="nowhere"), "term 'nowhere'"),
        (lambda told: told["lessons"]["short"]["sections"][0]["blocks"].append(["[x](preset:nowhere)"]), "preset 'nowhere'"),
    ],
)
def test_links_that_lead_nowhere_are_refused(change, match, monkeypatch):
    told = copy.deepcopy(written("en"))
    change(told)
    monkeypatch.setattr(module, "written", lambda lang: told)
    with pytest.raises(ValueError, match=match):
        learn.__wrapped__("en")


@pytest.mark.parametrize("lang", ["fr", "", "EN", "../en", None])
def test_other_languages_are_refused(lang):
    with pytest.raises(UsageError, match="lang must be one of en, zh"):
        learn(lang)


def test_controls_are_named_once():
    assert len(CONTROLS) == len(set(CONTROLS))


# What the lessons say in numbers.


def walk(gradients, name="rmsprop", lr=1.0, **hyper):
    """Return how far each step goes, in learning rates, for given gradients; and the states after each step."""
    one = rival(name, **hyper)
    p = np.zeros(1)
    state = one.init(p)
    lengths, states = [], []
    for t, g in enumerate(gradients, 1):
        new, state = one.step(p, np.array([g], dtype=np.float64), state, lr, t)
        lengths.append((p - new)[0] / lr)
        states.append({key: array[0] for key, array in state.items()})
        p = new
    return np.array(lengths), states


def says(*numbers, lang="en"):
    """Assert that the lessons or cards have these words."""
    everything = " ".join(text for _, text in texts(written(lang)))
    for number in numbers:
        assert number in everything, number


@pytest.mark.parametrize("decay", [0.9, 0.99, 0.999])
@pytest.mark.parametrize("g", [0.1, 2.0, -2000.0])
def test_first_step_is_as_long_whatever_the_gradient(decay, g):
    (first,), _ = walk([g], decay=decay)
    assert first == pytest.approx(math.copysign(1 / math.sqrt(1 - decay), g), rel=NEARLY)


def test_the_worked_example():
    (first,), (state,) = walk([2.0])
    assert state["v"] == pytest.approx(0.4, rel=CLOSE)
    assert f"{first:.2f}" == "3.16"
    assert f"{math.sqrt(state['v']):.3f}" == "0.632"
    says("3.16 `η`", "0.632", "3.2 `η`")


def test_bias_correction_makes_the_first_step_one_rate_long():
    (first,), _ = walk([7.0], decay=0.999, bias_correction=True)
    assert first == pytest.approx(1.0, rel=NEARLY)


def test_steady_steps_approach_the_rate():
    lengths, _ = walk(np.ones(200))
    t = np.arange(1, 201)
    np.testing.assert_allclose(lengths, 1 / np.sqrt(1 - 0.9**t), rtol=NEARLY)
    assert f"{lengths[19]:.2f}" == "1.07"
    says("1.07 `η`")


def test_adagrad_steps_under_a_steady_gradient():
    lengths, states = walk(np.full(400, 3.0), "adagrad")
    np.testing.assert_allclose(lengths, 1 / np.sqrt(np.arange(1, 401)), rtol=NEARLY)
    assert (np.diff([state["s"] for state in states]) > 0).all()


def test_an_old_square_fades_and_is_summed_for_ever():
    spike = np.zeros(200)
    spike[0] = 5.0
    v = np.array([state["v"] for state in walk(spike)[1]])
    weight = v / v[0]
    assert weight[6] > 0.5 > weight[7]
    assert f"{weight[7]:.2f}" == "0.48"
    assert weight[20] == pytest.approx(1 / 8, rel=0.05)
    s = [state["s"] for state in walk(spike, "adagrad")[1]]
    assert s[0] == s[-1] == 25.0
    # The mean age of what the average holds, weighted, is β/(1-β): some 1/(1-β) steps.
    for decay in (0.9, 0.99):
        v = np.array([state["v"] for state in walk(np.r_[1.0, np.zeros(5000)], decay=decay)[1]])
        assert (np.arange(len(v)) * v).sum() / v.sum() == pytest.approx(1 / (1 - decay) - 1, rel=1e-6)


def test_steps_after_a_spike():
    gradients = np.ones(400)
    gradients[200] = 10.0
    after = walk(gradients)[0][201:]
    assert [int(np.argmax(after >= share)) + 1 for share in (0.5, 0.8)] == [12, 28]
    says("12 steps later", "80 % after 28")
    says("12 步后", "28 步后恢复到 80%", lang="zh")


def test_the_scale_of_the_loss_does_not_matter_but_to_epsilon():
    gradients = np.sin(np.arange(1.0, 300.0)) + 0.3
    plain, scaled = walk(gradients)[0], walk(1000 * gradients)[0]
    np.testing.assert_allclose(plain, scaled, rtol=NEARLY)
    assert abs(walk(gradients, eps=0.1)[0] - walk(1000 * gradients, eps=0.1)[0]).max() > 0.01


def test_a_large_epsilon_makes_gradient_descent():
    gradients = np.sin(np.arange(1.0, 50.0))
    got = walk(gradients, eps=1e8)[0]
    np.testing.assert_allclose(got, walk(gradients, "sgd")[0] / 1e8, rtol=1e-6)


def test_places_of_epsilon():
    eps = 1e-4
    # The average is ε after this step, in both dialects.
    g = math.sqrt(eps / 0.1)
    (outside,), (state,) = walk([g], eps=math.sqrt(eps))
    (inside,), _ = walk([g], eps=eps, eps_place="inside")
    assert state["v"] == pytest.approx(eps, rel=CLOSE)
    assert f"{1 - outside / inside:.0%}" == "29%"
    tiny = 1e-9
    (outside,), (inside,) = walk([tiny], eps=0.1)[0], walk([tiny], eps=0.01, eps_place="inside")[0]
    # A denominator that nothing but ε holds up: 0.1 for ε = 0.01 inside.
    assert outside == pytest.approx(inside, rel=1e-6)
    assert tiny / inside == pytest.approx(0.1, rel=1e-6)


def test_momentum_lengthens_steady_steps_tenfold():
    lengths = walk(np.ones(600), momentum=0.9)[0]
    assert lengths[-1] == pytest.approx(10.0, rel=1e-6)
    alternating = walk(np.resize([1.0, -1.0], 600), momentum=0.9)[0]
    assert abs(alternating[-1]) < 1


def test_centered_steps_are_longer_on_a_steady_slope():
    assert (walk(np.ones(60), centered=True)[0] > walk(np.ones(60))[0]).all()


def test_sign_is_all_that_is_left_without_decay():
    gradients = np.array([3.0, -0.01, 250.0, -8.0])
    np.testing.assert_allclose(walk(gradients, decay=0)[0], np.sign(gradients), rtol=1e-5)


def test_zero_gradient_moves_nothing_and_shrinks_the_average():
    lengths, states = walk([2.0, 0.0])
    assert lengths[1] == 0
    assert states[1]["v"] == pytest.approx(0.9 * states[0]["v"], rel=CLOSE)


def test_a_rare_visit_is_a_first_step_again():
    lengths = walk(np.r_[4.0, np.zeros(100), 0.5])[0]
    assert lengths[-1] == pytest.approx(1 / math.sqrt(0.1), rel=1e-3)


def test_a_start_from_one_makes_small_steps():
    g = 1e-3
    (first,), _ = walk([g], dialect="tf1")
    assert first == pytest.approx(g / math.sqrt(0.9), rel=1e-6)


def test_where_the_rate_sits_matters_only_when_it_changes():
    setup = {"land": {"kind": "named", "name": "quadratic"}, "steps": 300, "runs": [
        {"optimizer": "rmsprop", "lr": 0.01, "momentum": 0.9, "lr_in_momentum": inside} for inside in (True, False)
    ]}  # fmt: skip
    constant, changing = (
        [np.array(run["p"])[:, :150] for run in trace(Setup.from_json(setup | {"schedule": name}))["runs"]]
        for name in ("constant", "step")
    )
    np.testing.assert_allclose(*constant, rtol=0, atol=CLOSE)
    assert abs(changing[0] - changing[1]).max() > 1e-3


@pytest.mark.parametrize(
    ("lr", "eps", "curvature"), [(0.1, 1e-8, 1), (0.1, 0.01, 1), (0.1, 0.04, 1), (0.1, 0.04, 4), (0.02, 0.001, 100)]
)
def test_width_of_the_limit_cycle(lr, eps, curvature):
    """In a bowl of curvature h it jumps from η/2 - ε/h on one side to as much on the other."""
    end = ending(f"{curvature}*x**2/2 + 0*y", lr, eps)
    assert end[0] == pytest.approx(-end[1], rel=1e-6)
    assert abs(end[0]) == pytest.approx(lr / 2 - eps / curvature, rel=1e-4)


def test_no_limit_cycle_where_epsilon_is_large():
    assert abs(ending("x**2/2 + 0*y", 0.1, 0.06)).max() < 1e-12


def test_loss_of_the_limit_cycle_goes_with_the_square_of_the_rate():
    wide, narrow = (0.5 * ending("x**2/2 + 0*y", lr, 1e-8)[0] ** 2 for lr in (0.1, 0.05))
    assert wide / narrow == pytest.approx(4, rel=1e-4)


def ending(text, lr, eps):
    """Return the last two values of x of a long run down a formula."""
    told = {"land": {"kind": "formula", "text": text}, "start": [1.0, 0.0], "steps": 5000}
    return np.array(trace(Setup.from_json(told | {"runs": [{"optimizer": "rmsprop", "lr": lr, "eps": eps}]}))["runs"][0]["p"])[0][
        -2:
    ]


@pytest.mark.parametrize(("share", "diverges"), [(0.99, False), (1.01, True)])
def test_where_gradient_descent_diverges(share, diverges):
    """Beyond two divided by the curvature, here 100."""
    told = {
        "land": {"kind": "named", "name": "ill-conditioned"},
        "steps": 2000,
        "runs": [{"optimizer": "sgd", "lr": share * 2 / 100}],
    }
    y = np.array(trace(Setup.from_json(told))["runs"][0]["p"])[1]
    assert bool(abs(y[-1]) > abs(y[0])) is diverges


def test_coupled_decay_moves_the_minimum():
    told = {
        "land": {"kind": "formula", "text": "(x - 2)**2/2 + 0*y"},
        "start": [0.0, 0.0],
        "steps": 3000,
        "schedule": "exponential",
    }
    run = {"optimizer": "rmsprop", "lr": 0.1, "weight_decay": 0.1}
    end = np.array(trace(Setup.from_json(told | {"runs": [run]}))["runs"][0]["p"])[0][-1]
    assert end == pytest.approx(2 / 1.1, abs=1e-4)


def test_adagrad_s_rate_beyond_the_cliff():
    """The rate falls to a twentieth of what it was before the brink, and stays there; RMSprop's average loses the brink."""
    told = {"land": {"kind": "named", "name": "cliff"}, "steps": 600, "runs": [{"optimizer": "adagrad", "lr": 0.1}]}
    (one,) = trajectories(Setup.from_json(told), landscape("cliff"))
    brink = int(np.argmax(abs(one.g[:, 0])))
    with np.errstate(divide="ignore"):
        rate = 1 / np.sqrt(one.state["s"][:, 0])
    assert 15 < rate[brink - 30] / rate[-1] < 25
    assert (np.diff(rate[1:]) <= 0).all()


@pytest.mark.parametrize(
    ("name", "place", "start", "decay"),
    [("pytorch", "outside", 0.0, 0.99), ("tf1", "inside", 1.0, 0.9), ("article", "outside", 0.0, 0.9)],
)
def test_dialects_are_what_the_lesson_says(name, place, start, decay):
    rule = dialect(name)
    assert (rule.eps_place, rule.square_init, rule.decay) == (place, start, decay)


def test_the_gap_between_numbers_at_one():
    assert f"{np.spacing(1.0):.1e}" == "2.2e-16"
