"""Sparse gradients: lazily, row by row, and densely."""

import pytest
import torch

from rmsprop.torch import RMSprop

OPTIONS = [{}, {"momentum": 0.9, "centered": True, "weight_decay": 0.1}]
INDICES, VALUES = torch.tensor([[4, 1, 4]]), torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])


def gradient(dtype=torch.float32):
    return torch.sparse_coo_tensor(INDICES, VALUES.to(dtype), (6, 2), check_invariants=True)


def table(dtype=torch.float32):
    return torch.arange(12, dtype=torch.float32).reshape(6, 2).to(dtype).requires_grad_()


@pytest.mark.parametrize("fused", [None, False])
@pytest.mark.parametrize("options", OPTIONS)
def test_dense_equals_the_dense_update(options, fused):
    p, q = table(), table()
    one, other = RMSprop([p], sparse="dense", fused=fused, **options), RMSprop([q], fused=fused, **options)
    for _ in range(3):
        p.grad, q.grad = gradient(), gradient().to_dense()
        one.step()
        other.step()
    assert torch.equal(p, q)


@pytest.mark.parametrize("fused", [None, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64])
@pytest.mark.parametrize("options", OPTIONS)
def test_lazy_touches_only_the_rows_that_occur(options, dtype, fused):
    """Row 4 is there twice: its gradients are summed. The rows go as those of a small dense table would."""
    p, small = table(dtype), table(dtype).detach()[[1, 4]].requires_grad_()
    before = p.detach().clone()
    one, other = RMSprop([p], sparse="lazy", fused=fused, **options), RMSprop([small], fused=fused, **options)
    for _ in range(3):
        p.grad, small.grad = gradient(dtype), torch.stack([VALUES[1], VALUES[0] + VALUES[2]]).to(dtype)
        one.step()
        other.step()
    assert torch.equal(p.detach()[[1, 4]], small.detach())
    untouched = [0, 2, 3, 5]
    assert torch.equal(p.detach()[untouched], before[untouched])
    for key, value in one.state[p].items():
        assert torch.equal(value if key == "step" else value[[1, 4]], other.state[small][key])
        assert key == "step" or not value[untouched].any()


def test_an_embedding_trains_lazily():
    embedding = torch.nn.Embedding(10, 3, sparse=True)
    optimizer = RMSprop(embedding.parameters(), sparse="lazy", max_norm=1.0, ema_decay=0.5, on_nonfinite="skip")
    before = embedding.weight.detach().clone()
    embedding(torch.tensor([2, 7, 2])).sum().backward()
    optimizer.step()
    moved = (embedding.weight != before).any(1).nonzero().flatten()
    assert moved.tolist() == [2, 7]
    average = optimizer.state[embedding.weight]["ema"]
    torch.testing.assert_close(average, (before + embedding.weight.detach()) / 2)


def test_duplicates_count_once_in_the_norm():
    p, q = table(), table()
    one = RMSprop([p], sparse="lazy", max_norm=0.5)
    p.grad = gradient()
    one.step()
    q.grad = gradient().to_dense()
    torch.nn.utils.clip_grad_norm_([q], 0.5)
    other = RMSprop([q])
    other.step()
    torch.testing.assert_close(p[[1, 4]], q[[1, 4]], rtol=1e-6, atol=0)


@pytest.mark.parametrize("fused", [None, False])
def test_sparse_gradients_are_refused_unless_it_is_said_how(fused):
    p = table()
    optimizer = RMSprop([p], fused=fused)
    p.grad = gradient()
    with pytest.raises(RuntimeError, match=r"RMSprop does not support sparse gradients.*sparse='lazy'"):
        optimizer.step()


def test_other_layouts_are_refused_by_name():
    p = table()
    p.grad = torch.sparse_coo_tensor(INDICES, VALUES, (6, 2), check_invariants=True)
    optimizer = RMSprop([p], sparse="lazy")
    optimizer.step()
    with pytest.raises(ValueError, match="sparse must be one of 'error', 'lazy', 'dense', got 'eager'"):
        RMSprop([p], sparse="eager")
