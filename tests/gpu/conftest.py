"""On what the tests of the fused pass run: tensors of a CPU through Triton's interpreter, and a CUDA device."""

import os

import pytest


def cuda():
    """Return the CUDA device, or skip; under `make test-gpu`, where nothing may be skipped for want of one, fail."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    if not torch.cuda.is_available():
        why = f"NO CUDA DEVICE: PyTorch {torch.__version__} sees none, and the fused pass was NOT tested on a GPU"
        if os.environ.get("RMSPROP_GPU") == "required":
            pytest.fail(f"{why}; run this where one is, with a build of PyTorch for it")
        pytest.skip(why)
    return torch.device("cuda", torch.cuda.current_device())


def interpreter(patch):
    """Send tensors of a CPU through Triton's interpreter, and return their device."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("triton", reason="Triton is not installed; it exists for Linux only")
    patch.setenv("RMSPROP_INTERPRET", "1")
    patch.setenv("TRITON_INTERPRET", "1")
    # It takes reductions element by element.
    patch.setattr("rmsprop.kernels.gpu.build.TILE", 64)
    return torch.device("cpu")


@pytest.fixture(params=["interpreter", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request, monkeypatch):
    """Give the device on whose tensors the fused pass runs."""
    return interpreter(monkeypatch) if request.param == "interpreter" else cuda()


@pytest.fixture
def gpu():
    """Give the CUDA device, for what there is no interpreter for."""
    return cuda()
