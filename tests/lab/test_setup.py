"""A setup is what its JSON says, and nothing that cannot be run gets in."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmsprop import dialect, dialect_names
from rmsprop.lab.catalog import catalog
from rmsprop.lab.setup import LIMITS, RMSPROP_AXES, Setup, SetupError, hyper_names
from rmsprop.race.landscapes import landscape_names
from rmsprop.race.noise import noise_kinds, strength_of
from rmsprop.race.rivals import rival_names
from rmsprop.rule import AXES, choices_of, range_of
from rmsprop.schedules import schedule_names

FINITE = st.floats(-1e12, 1e12)


def number(axis):
    low, high = range_of(axis)
    return st.floats(low, min(high, 1e9), exclude_min=axis == "eps", exclude_max=True)


@st.composite
def runs(draw):
    optimizer = draw(st.sampled_from(rival_names()))
    run = {"optimizer": optimizer, "lr": draw(st.floats(0, 1e300))}
    if optimizer == "rmsprop":
        run["dialect"] = draw(st.sampled_from(dialect_names()))
        if draw(st.booleans()):
            run["eps_place"] = draw(st.sampled_from(choices_of("eps_place")))
            run["weight_decay_form"] = draw(st.sampled_from(choices_of("weight_decay_form")))
            run["centered"] = draw(st.booleans())
        if draw(st.booleans()):
            run |= {"momentum": draw(st.floats(0.01, 0.99)), "nesterov": draw(st.booleans())}
        if draw(st.booleans()):
            run |= {"square_init": 0, "bias_correction": True}
    numbers = [name for name in hyper_names(optimizer) if name in ("decay", "eps", "weight_decay")]
    for name in draw(st.lists(st.sampled_from(numbers), unique=True)) if numbers else []:
        run[name] = draw(number(name))
    return run


@st.composite
def setups(draw):
    kind = draw(st.sampled_from(["named", "formula", "data"]))
    texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(str.strip)
    land = {
        "named": {"name": draw(st.sampled_from(landscape_names()))},
        "formula": {"text": draw(texts)},
        "data": {"csv": draw(texts), "model": draw(texts), "over": draw(st.none() | st.lists(texts, min_size=2, max_size=2))},
    }[kind]
    noise = draw(st.sampled_from(noise_kinds()))
    strength = draw(st.floats(0, strength_of(noise).most))
    return {
        "v": 1,
        "land": {"kind": kind, **land},
        "start": draw(st.none() | st.lists(FINITE, min_size=2, max_size=2)),
        "runs": draw(st.lists(runs(), min_size=1, max_size=8)),
        "steps": draw(st.integers(*LIMITS["steps"])),
        "schedule": draw(st.sampled_from(schedule_names())),
        "noise": noise if noise == "none" else f"{noise}={strength!r}",
        "seed": draw(st.integers(*LIMITS["seed"])),
    }


@given(setups())
@settings(max_examples=60)
def test_a_setup_comes_back_from_json_exactly(told):
    setup = Setup.from_json(told)
    written = setup.to_json()
    assert Setup.from_json(json.loads(json.dumps(written, allow_nan=False))) == setup
    assert Setup.from_json(written).to_json() == written
    for key in ("v", "land", "start", "steps", "schedule", "noise", "seed"):
        assert written[key] == told[key]
    for run, given_run in zip(written["runs"], told["runs"], strict=True):
        assert {name: run[name] for name in given_run} == given_run
    assert hash(setup) == hash(Setup.from_json(written))


def test_what_is_absent_is_the_default():
    assert Setup.from_json({}) == Setup()
    assert Setup.from_json({"runs": [{"optimizer": "rmsprop"}]}) == Setup()
    written = Setup().to_json()
    for key in written:
        assert Setup.from_json({name: value for name, value in written.items() if name != key}) == Setup()


@pytest.mark.parametrize("name", dialect_names())
def test_axes_that_are_absent_are_those_of_the_dialect(name):
    rule = Setup.from_json({"runs": [{"optimizer": "rmsprop", "dialect": name, "lr": 0.01}]}).runs[0].rival.rule
    assert rule == dialect(name).replace(complex_form="parts")


def test_every_axis_of_a_rule_can_be_set_or_is_fixed_for_real_parameters_that_go_downhill():
    assert {*RMSPROP_AXES, "maximize", "complex_form"} == set(AXES)


def test_the_catalog_holds_the_ranges_that_setups_keep():
    for optimizer in catalog()["optimizers"]:
        for field in optimizer["fields"]:
            values = {"number": [field["low"], field["high"]], "choice": field["choices"], "switch": [True, False]}[field["kind"]]
            for value in values:
                if value is None or field["name"] in ("nesterov", "bias_correction"):
                    continue
                run = {"optimizer": optimizer["name"], "lr": 0.1, field["name"]: value}
                allowed = field["kind"] != "number" or (value != field["high"] and not (field["name"] == "eps" and value == 0))
                if allowed:
                    Setup.from_json({"runs": [run]})
                else:
                    with pytest.raises(SetupError, match=field["name"]):
                        Setup.from_json({"runs": [run]})


RUN = {"optimizer": "rmsprop"}
REFUSED = [
    ([], None, "must be an object, got a list"),
    (None, None, "must be an object, got null"),
    ({"stepz": 3}, "stepz", "did you mean steps?"),
    ({"v": 2}, "v", "another version"),
    ({"v": True}, "v", "must be 1"),
    ({"steps": 10**9}, "steps", "from 1 to 5,000, got 1000000000"),
    ({"steps": 10**400}, "steps", "got a number of 30 digits or more"),
    ({"steps": 0}, "steps", "from 1 to 5,000"),
    ({"steps": 3.0}, "steps", "a whole number"),
    ({"steps": True}, "steps", "got true"),
    ({"steps": "5"}, "steps", "got '5'"),
    ({"steps": None}, "steps", "got null"),
    ({"seed": -1}, "seed", "from 0 to 4,294,967,296"),
    ({"schedule": "cosin"}, "schedule", "did you mean cosine?"),
    ({"schedule": 3}, "schedule", "must be one of"),
    ({"noise": "gausian"}, "noise", "did you mean gaussian?"),
    ({"noise": "gaussian=nan"}, "noise", "got nan"),
    ({"noise": "mask=1"}, "noise", "in [0, 0.99]"),
    ({"noise": "x" * 61}, "noise", "at most 60"),
    ({"noise": 0.1}, "noise", "a kind of noise"),
    ({"start": [1]}, "start", "must hold 2 numbers, got 1"),
    ({"start": "here"}, "start", "must be a list"),
    ({"start": [1, math.inf]}, "start[1]", "must be a finite number"),
    ({"start": [True, 1]}, "start[0]", "got true"),
    ({"start": [10**400, 1]}, "start[0]", "must be a finite number"),
    ({"runs": []}, "runs", "from 1 to 8 entries, got 0"),
    ({"runs": [RUN] * 9}, "runs", "from 1 to 8 entries, got 9"),
    ({"runs": RUN}, "runs", "must be a list, got an object"),
    ({"runs": [3]}, "runs[0]", "must be an object, got 3"),
    ({"runs": [{}]}, "runs[0].optimizer", "got null"),
    ({"runs": [RUN, {"optimizer": "adm"}]}, "runs[1].optimizer", "did you mean adam?"),
    ({"runs": [RUN | {"dialect": "pytorhc"}]}, "runs[0].dialect", "did you mean pytorch?"),
    ({"runs": [{"optimizer": "adam", "dialect": "tf1"}]}, "runs[0].dialect", "unknown key 'dialect'"),
    ({"runs": [{"optimizer": "adam", "centered": True}]}, "runs[0].centered", "unknown key"),
    ({"runs": [RUN | {"maximize": True}]}, "runs[0].maximize", "unknown key 'maximize'"),
    ({"runs": [RUN | {"decay": 1}]}, "runs[0].decay", "must be in [0, 1), got 1.0"),
    ({"runs": [RUN | {"decay": math.nan}]}, "runs[0].decay", "must be a finite number, got nan"),
    ({"runs": [RUN | {"decay": "0.9"}]}, "runs[0].decay", "got '0.9'"),
    ({"runs": [RUN | {"eps": 0}]}, "runs[0].eps", "must be greater than 0"),
    ({"runs": [RUN | {"lr": -1}]}, "runs[0].lr", "must be in [0, inf), got -1.0"),
    ({"runs": [RUN | {"lr": None}]}, "runs[0].lr", "got null"),
    ({"runs": [RUN | {"dialect": "hinton"}]}, "runs[0].lr", "has no default learning rate; give lr"),
    ({"runs": [RUN | {"centered": 1}]}, "runs[0].centered", "must be True or False"),
    ({"runs": [RUN | {"eps_place": "under"}]}, "runs[0].eps_place", "must be one of 'outside', 'inside'"),
    ({"runs": [RUN | {"eps_place": ["inside"]}]}, "runs[0].eps_place", "must be one of"),
    ({"runs": [RUN | {"nesterov": True}]}, "runs[0].nesterov", "needs momentum > 0"),
    ({"runs": [RUN | {"bias_correction": True, "square_init": 1}]}, "runs[0].bias_correction", "needs square_init=0"),
    ({"land": "ravine"}, "land", "must be an object"),
    ({"land": {}}, "land.kind", "must be one of named, formula, data"),
    ({"land": {"kind": "named", "name": "ravin"}}, "land.name", "did you mean ravine?"),
    ({"land": {"kind": "named", "name": "ravine", "text": "x"}}, "land.text", "unknown key 'text'"),
    ({"land": {"kind": "formula", "text": ""}}, "land.text", "a formula of two names"),
    ({"land": {"kind": "formula", "text": "x" * 1001}}, "land.text", "1,001 characters"),
    ({"land": {"kind": "formula", "text": "x*y\ud800"}}, "land.text", "half a character"),
    ({"land": {"kind": "data", "csv": "x,y\n", "model": 3}}, "land.model", "a model, such as y = a*x + b"),
    ({"land": {"kind": "data", "csv": "1" * (2**20 + 1), "model": "y=a"}}, "land.csv", "at most 1,048,576"),
    (
        {"land": {"kind": "data", "csv": "x,y\n1,2\n", "model": "y=a*x", "over": ["a"]}},
        "land.over",
        "two of the model's parameters",
    ),
    ({"land": {"kind": "data", "csv": "x,y\n1,2\n", "model": "y=a*x", "over": ["a", 3]}}, "land.over[1]", "a parameter's name"),
]


@pytest.mark.parametrize(("told", "field", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_run_is_refused_by_its_place(told, field, message):
    with pytest.raises(SetupError) as caught:
        Setup.from_json(told)
    assert caught.value.field == field
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400
