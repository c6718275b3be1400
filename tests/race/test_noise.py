import numpy as np
import pytest

from rmsprop.errors import UsageError
from rmsprop.race.noise import Draws, Noise, noise_kinds, parse_noise

G = np.array([2.0, -3.0])
RUNS = 40_000


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(2)
    return rng.standard_normal((RUNS, 2)), rng.random((RUNS, 2))


def around(values):
    """The mean of many runs, and how far it may be from what it estimates: five standard errors."""
    return values.mean(axis=0), 5 * values.std(axis=0) / np.sqrt(RUNS)


@pytest.mark.parametrize("kind", ["gaussian", "multiplicative", "outliers"])
def test_noise_does_not_move_the_mean(kind, drawn):
    mean, error = around(Noise(kind, 0.3)(np.broadcast_to(G, (RUNS, 2)), 1.5, *drawn))
    assert (np.abs(mean - G) < error).all()
    assert (error > 0).all()


def test_gaussian_has_the_size_of_the_gradient_at_the_start(drawn):
    noisy = Noise("gaussian", 0.3)(np.broadcast_to(G, (RUNS, 2)), 1.5, *drawn)
    np.testing.assert_allclose((noisy - G).std(axis=0), 0.45, rtol=0.03)


def test_multiplicative_grows_with_the_gradient(drawn):
    noisy = Noise("multiplicative", 0.3)(np.broadcast_to(G, (RUNS, 2)), 1.5, *drawn)
    np.testing.assert_allclose(noisy.std(axis=0), 0.3 * np.abs(G), rtol=0.03)


def test_mask_leaves_a_part_out_or_as_it_is(drawn):
    noisy = Noise("mask", 0.7)(np.broadcast_to(G, (RUNS, 2)), 1.5, *drawn)
    assert ((noisy == 0) | (noisy == G)).all()
    np.testing.assert_allclose((noisy == 0).mean(axis=0), 0.7, atol=0.02)


def test_outliers_are_rare_and_large(drawn):
    noisy = Noise("outliers", 0.02)(np.broadcast_to(G, (RUNS, 2)), 1.5, *drawn)
    hit = noisy != G
    np.testing.assert_allclose(hit.mean(axis=0), 0.02, atol=0.005)
    np.testing.assert_allclose((noisy - G)[hit].std(), 15, rtol=0.1)


def test_none_gives_the_gradient_itself():
    assert Noise()(G, 1.0, np.ones(2), np.zeros(2)) is G


@pytest.mark.parametrize("kind", noise_kinds())
def test_text_is_read_back(kind):
    noise = parse_noise(kind)
    assert noise.kind == kind
    assert parse_noise(str(noise)) == noise


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gausian", "one of none, gaussian.*did you mean gaussian"),
        ("gaussian=x", "such as gaussian=0.1"),
        ("gaussian=-1", r"in \[0, 1e\+06\], got -1"),
        ("gaussian=nan", "got nan"),
        ("mask=1", r"in \[0, 0.99\].*share of"),
        ("none=1", r"in \[0, 0\]"),
        ("", "got ''"),
    ],
)
def test_refusal(text, message):
    with pytest.raises(UsageError, match=message):
        parse_noise(text)


def test_a_seed_s_draws_do_not_depend_on_the_others():
    few, many = Draws([5], 0), Draws([3, 4, 5], 0)
    np.testing.assert_array_equal(few.starts[0], many.starts[2])
    for _ in range(600):
        for one, other in zip(few.step(), many.step(), strict=True):
            np.testing.assert_array_equal(one[0], other[2])


def test_streams_and_steps_differ():
    one, other = Draws([5], 0), Draws([5], 1)
    first, second = one.step(), one.step()
    assert (first[0] != second[0]).all()
    assert (first[0] != other.step()[0]).all()
