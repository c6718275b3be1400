"""The models that are trained: their losses, gradients and metrics, and that they learn."""

import math
import random

import numpy as np
import pytest
import torch

from rmsprop.errors import DataError, MissingExtraError, UsageError
from rmsprop.race.rivals import rival
from rmsprop.race.workloads import chars, digits, words, workload, workload_names, workload_titles
from rmsprop.race.workloads.optimizers import optimizer_for
from rmsprop.race.workloads.task import batches, seeded

RATES = {"digits": 0.01, "chars": 0.01, "words": 0.1}


def begun(name, seed=0, lr=None):
    """A fresh training; the caller's random state is its own to set."""
    return workload(name).begin(seed, lambda params: optimizer_for(rival("rmsprop"), params, lr or RATES[name]))


@pytest.mark.parametrize("name", RATES)
def test_learns_what_it_is_trained_on_and_not_by_heart_alone(name):
    with seeded(0):
        training = begun(name)
        first, before = training.measure()
        training.advance(60)
        last, after = training.measure()
    assert last < 0.8 * first
    assert after > before + 0.2 if workload(name).higher else after < before - 0.5


def test_a_digit_s_chance_is_one_in_ten():
    with seeded(1):
        training = begun("digits")
        for p in training.model.parameters():
            p.data.zero_()
        loss, accuracy = training.measure()
    assert loss == pytest.approx(math.log(10), rel=1e-6)
    assert 0.05 < accuracy < 0.15


def test_images_held_back_are_not_learnt_from():
    images, numbers, unseen, answers = digits._data()
    assert (len(images), len(unseen)) == (1347, 450)
    known = {tuple(image.flatten().tolist()) for image in images}
    assert sum(tuple(image.flatten().tolist()) in known for image in unseen) == 0
    assert 0 <= images.min() < images.max() == 1
    assert set(numbers.tolist()) == set(answers.tolist()) == set(range(10))


@pytest.mark.parametrize("name", ["digits", "chars"])
def test_gradient_is_that_of_the_loss(name):
    """Autograd's, against differences of the batch loss in double precision, where weights are random."""
    with seeded(2):
        training = begun(name)
        model = training.model.double()
        rng = torch.Generator().manual_seed(1)

        def loss():
            if name == "digits":
                images, numbers, *_ = digits._data()
                return torch.nn.functional.cross_entropy(model(images[:8].double()), numbers[:8])
            known, *_ = chars._text()
            rows = known[:66].reshape(2, 33)
            return torch.nn.functional.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())

        model.zero_grad()
        loss().backward()
        for p in model.parameters():
            way = torch.randn(p.shape, dtype=torch.float64, generator=rng)
            slope = float((p.grad * way).sum())
            with torch.no_grad():
                p += 1e-6 * way
                above = float(loss())
                p -= 2e-6 * way
                below = float(loss())
                p += 1e-6 * way
            assert slope == pytest.approx((above - below) / 2e-6, rel=1e-4, abs=1e-8)


def test_gradient_of_the_words_is_that_of_logistic_regression():
    bags, modules, *_ = words._data()
    with seeded(4):
        training = begun("words", lr=1e-9)
        training.advance(1)
    with seeded(4):
        torch.nn.Linear(bags.shape[1], 12)  # the same draws as before the first batch there
        places = next(batches(len(bags), 16))
    x, wanted = bags[places].double(), torch.eye(12, dtype=torch.float64)[modules[places]]
    # All scores are 0 at the start, so that each module has a chance of one in twelve.
    np.testing.assert_allclose(training.model.weight.grad, ((1 / 12 - wanted).T @ x / 16), atol=1e-7)


def test_bag_of_words_is_sparse_and_real():
    bags, modules, unseen, answers = words._data()
    assert len(bags) > 1_000
    assert len(unseen) == pytest.approx(len(bags) / 3, abs=2)
    share = float((bags > 0).float().mean())
    assert 0.002 < share < 0.02
    np.testing.assert_allclose(bags.norm(dim=1)[bags.any(dim=1)], 1, rtol=1e-5)
    assert set(modules.tolist()) == set(answers.tolist()) == set(range(12))


def test_a_library_without_docstrings_is_refused(tmp_path, monkeypatch):
    words._data.cache_clear()
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    with pytest.raises(DataError, match="too few docstrings"):
        words._data()
    words._data.cache_clear()


def test_letters_of_a_network_that_knows_nothing_cost_their_logarithm():
    with seeded(3):
        training = begun("chars")
        for p in training.model.parameters():
            p.data.zero_()
        loss, bits = training.measure()
    letters = chars._text()[2]
    assert bits == pytest.approx(math.log2(letters), rel=1e-6)
    assert loss == pytest.approx(math.log(letters), rel=1e-6)


def test_lines_held_back_are_not_learnt_from():
    known, unseen, letters = chars._text()
    assert int(known.max()) < letters
    assert 0.05 < len(unseen) / len(known) < 0.2
    text = known.tolist()
    piece = unseen[100:160].tolist()
    assert not any(text[k : k + 60] == piece for k in range(len(text)))


def test_a_network_s_letter_depends_on_those_before_it_alone():
    with seeded(5):
        training = begun("chars")
        text = torch.arange(20)[None]
        changed = text.clone()
        changed[0, 10] = 3
        with torch.no_grad():
            one, other = training.model(text), training.model(changed)
    np.testing.assert_array_equal(one[0, :10], other[0, :10])
    assert (one[0, 10:] != other[0, 10:]).any(dim=1).all()


def test_every_row_comes_once_before_any_comes_again():
    with seeded(0):
        rows = batches(10, 5)
        first, second, third = (next(rows).tolist() for _ in range(3))
    assert sorted(first + second) == list(range(10))
    assert len(third) == 5


def test_a_run_leaves_random_numbers_and_threads_as_they_were():
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)
    wanted = (torch.rand(1).item(), random.random(), np.random.random())
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)
    threads = torch.get_num_threads()
    with seeded(3):
        assert torch.get_num_threads() == 1
        torch.rand(5), random.seed(0), np.random.seed(0)
    assert torch.get_num_threads() == threads
    assert (torch.rand(1).item(), random.random(), np.random.random()) == wanted


def test_names():
    assert tuple(workload_titles()) == workload_names()
    for name in workload_names():
        assert workload(name).name == name
    with pytest.raises(UsageError, match="did you mean digits"):
        workload("digit")
    with pytest.raises(UsageError, match="target must be a loss above 0"):
        workload("digits").reaching(0.0)
    assert workload("digits").reaching(0.5).target == 0.5


@pytest.mark.parametrize(
    ("name", "module", "library"), [("digits", "sklearn.datasets", "scikit-learn"), ("digits", "torch", "PyTorch")]
)
def test_missing_library_names_what_installs_it(name, module, library, monkeypatch):
    digits._data.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"{library} is not installed.*'rmsprop\[workloads\]'"):
        workload(name).begin(0, lambda params: None)
