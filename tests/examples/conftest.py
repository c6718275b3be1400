"""What the tests of the examples share."""

import importlib.util
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).parents[2] / "examples"

# How far apart two trained models may be, for their length. Where gradients are nearly 0, a step's sign is a matter of rounding,
# and training carries it on; a step that is computed otherwise, even with another eps alone, goes some hundred times as far.
CLOSE = 1e-4


@pytest.fixture(autouse=True)
def _one_thread():
    # The models are too small to share.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def load():
    """Return the module of an example, by its name."""

    def loaded(name):
        spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return loaded


def apart(model, other):
    """Return how far the weights of two models are apart, for their length."""
    ours, theirs = (torch.cat([p.detach().flatten() for p in each.parameters()]) for each in (model, other))
    return float((ours - theirs).norm() / theirs.norm())


@pytest.fixture(scope="session")
def torchvision():
    """Make torchvision importable, if it is there, beside a PyTorch that it was not built for.

    Its builds for GPUs are what pip finds; their operators do not load beside a PyTorch for CPUs, and importing it, which the other
    packages do, ends at the first of them. Declaring those that it asks for is enough: nothing here calls one.
    """
    if importlib.util.find_spec("torchvision") is None:
        return
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision  # noqa: F401
