"""Files of torch.save and of Stable-Baselines3: what is read of them, and what is written."""

import json
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import rmsprop
import rmsprop.torch
from rmsprop.checkpoint import ConversionError, FileError, SaveError, UsageError, capture, convert, load, restore, save
from rmsprop.checkpoint.torch import load_file
from tests.checkpoint.harness import assert_bits, assert_same
from tests.checkpoint.torches import NAMES, flat, gradients, parameters, train, trained
from tests.tolerances import TOLERANCES

GOLDEN = Path(__file__).parents[1] / "golden"
KINDS = ("pytorch", "timm", "sb3", "bitsandbytes", "rmsprop.torch")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.pt"


@pytest.fixture
def legacy(path: Path) -> Any:
    return lambda content: torch.save(content, path, _use_new_zipfile_serialization=False)


def test_what_torch_save_wrote_is_read_in_either_format(path: Path, legacy: Any) -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.complex64):
        _, optimizer = trained("pytorch", dtype, momentum=0.9, centered=True)
        torch.save(optimizer.state_dict(), path)
        assert_same(load(path), capture(optimizer))
        legacy(optimizer.state_dict())
        assert path.read_bytes().startswith(b"\x80")
        assert_same(load(path), capture(optimizer))


def checkpoint(optimizer: Any) -> dict[str, Any]:
    """Return what people put beside an optimizer's state."""
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5])
    return {
        "epoch": 3,
        "model": model.state_dict(),
        "parameters": list(model.parameters()),
        "tied": [model[0].weight, model[0].weight],
        "lr_scheduler": scheduler.state_dict(),
        "rng": torch.get_rng_state(),
        "args": {"lr": 0.1, "betas": (0.9, 0.999), "name": "run", "size": torch.Size([2, 3]), ("a", 1): None, 3: 2**70},
        "scaled": torch.ones(2, 3, dtype=torch.float16).T,
        "small": torch.ones(3).to(torch.float8_e4m3fn),
        "whole": torch.arange(4).view(2, 2)[:, 1:],
        "device": torch.device("cpu"),
        "dtype": torch.bfloat16,
        "bytes": b"ab\xff",
        "number": 1 + 2j,
        "empty": torch.empty(0, 3),
        "shown": torch.ones(1).expand(1000),
        "conjugate": torch.ones(2, dtype=torch.complex64).conj(),
        "history": OrderedDict(loss=[0.5, float("nan")]),
        "optimizer": optimizer.state_dict(),
    }


@pytest.mark.parametrize("zipped", [True, False])
def test_a_training_checkpoint_is_read(zipped: bool, path: Path) -> None:
    _, optimizer = trained("pytorch", momentum=0.9)
    content = checkpoint(optimizer)
    if not zipped:
        del content["small"]  # which PyTorch itself does not read in this format
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert_same(load(path), capture(optimizer))
    assert_same(load(path, key="optimizer"), capture(optimizer))
    assert next(iter(load_file(path))) == "epoch"
    with pytest.raises(UsageError, match=r"no optimizer state under 'optim'; name one of 'optimizer', as key= or --key"):
        load(path, key="optim")


def test_one_of_several_states_is_chosen(path: Path) -> None:
    one, other = (trained("pytorch", alpha=alpha)[1] for alpha in (0.9, 0.8))
    torch.save({"optimizer_states": [one.state_dict(), other.state_dict()], "g": {"optimizer": other.state_dict()}}, path)
    with pytest.raises(
        UsageError, match=r"several optimizers; name one of 'optimizer_states\.0', 'optimizer_states\.1', 'g\.optim"
    ):
        load(path)
    assert_same(load(path, key="optimizer_states.1"), capture(other))


def model(path: Path, *optimizers: tuple[str, Any]) -> None:
    """Write a model as Stable-Baselines3 does."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", json.dumps({"policy_class": "x"}))
        for name, content in (("policy.pth", {"w": torch.ones(2)}), *optimizers):
            with archive.open(name, "w", force_zip64=True) as part:
                torch.save(content, part)
        archive.writestr("_stable_baselines3_version", "2.9.2")


def test_a_model_of_stable_baselines3_is_read(tmp_path: Path) -> None:
    path = tmp_path / "agent.zip"
    _, optimizer = trained("sb3", momentum=0.9)
    model(path, ("policy.optimizer.pth", optimizer.state_dict()))
    with pytest.raises(UsageError, match=r'say which it is: kind="sb3" \(Stable-Baselines3.*\) or kind="pytorch" \(torch'):
        load(path)
    assert_same(load(path, kind="sb3"), capture(optimizer))
    assert_same(load(path, kind="sb3", key="policy.optimizer.pth"), capture(optimizer))
    assert load(path, kind="pytorch").groups[0].rule.eps_place == "outside"
    model(path, ("actor.optimizer.pth", optimizer.state_dict()), ("critic.optimizer.pth", trained("pytorch")[1].state_dict()))
    with pytest.raises(UsageError, match=r"several optimizers; name one of 'actor\.optimizer', 'critic\.optimizer', as key="):
        load(path)
    assert_same(load(path, key="critic.optimizer"), capture(trained("pytorch")[1]))
    model(path)
    with pytest.raises(FileError, match=r"neither one of torch\.save nor a model of Stable-Baselines3's with an optimizer"):
        load(path)


def test_the_kind_of_a_bare_state_must_be_said() -> None:
    _, optimizer = trained("sb3")
    with pytest.raises(UsageError, match="states of several optimizers have these keys"):
        capture(optimizer.state_dict())
    assert capture(optimizer.state_dict(), kind="sb3").groups[0].rule == rmsprop.dialect("sb3")
    saved = torch.optim.RMSprop(parameters()).state_dict()
    for key in ("foreach", "maximize", "differentiable", "capturable"):
        del saved["param_groups"][0][key]  # as before PyTorch 1.12
    assert capture(saved, kind="pytorch").groups[0].rule == rmsprop.dialect("pytorch")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("named", [True, False])
def test_what_is_written_is_read_and_has_names(kind: str, named: bool, path: Path) -> None:
    rule = rmsprop.dialect(kind if kind != "rmsprop.torch" else "pytorch", weight_decay=0.01)
    _, optimizer = trained(rule)
    state = capture(optimizer, names=NAMES if named else None)
    save(path, state, to=kind)
    found = torch.load(path, weights_only=True)
    assert found["param_groups"][0].get("param_names") == (list(NAMES) if named else None)
    assert found["param_groups"][0]["params"] == [0, 1, 2]
    read = load(path, kind=kind)
    assert read.names == state.names
    assert read.groups[0].rule == state.groups[0].rule
    for p, q in zip(read.parameters, state.parameters, strict=True):
        assert (p.step, list(p.slots)) == (q.step, list(q.slots))
        assert_bits(p.slots["square_avg"], q.slots["square_avg"])


def test_centered_state_of_ours_is_written_for_both(path: Path) -> None:
    _, optimizer = trained(rmsprop.dialect("pytorch", centered=True))
    save(path, optimizer, to="rmsprop.torch")
    assert flat(torch.load(path, weights_only=True)["state"]) == flat(optimizer.state_dict()["state"])
    theirs = torch.optim.RMSprop(parameters(), centered=True)
    theirs.load_state_dict(torch.load(path, weights_only=True))
    train(theirs.param_groups[0]["params"], theirs, gradients(1))


def test_a_conversion_goes_from_file_to_file(tmp_path: Path) -> None:
    _, optimizer = trained("timm", momentum=0.9, lr=0.25)
    torch.save({"optimizer": optimizer.state_dict()}, tmp_path / "timm.pt")
    state = convert(tmp_path / "timm.pt", tmp_path / "sb3.pt", "sb3", rename={"0": "weight"})
    assert state.names == ("weight", "1", "2")
    for p, q in zip(load(tmp_path / "sb3.pt", kind="sb3").parameters, capture(optimizer).parameters, strict=True):
        assert (p.slots["momentum_buffer"] == q.slots["momentum_buffer"] / np.float32(0.25)).all()
        assert type(torch.load(tmp_path / "sb3.pt", weights_only=True)["state"][0]["step"]) is int


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("unexpected pos 64 vs 0")])
def test_a_write_that_fails_leaves_the_old_file(error: Exception, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, optimizer = trained("pytorch")
    save(path, optimizer, to="pytorch")
    before = path.read_bytes()

    def fail(content: Any, file: Any) -> None:
        file.write(b"half")
        raise error

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(SaveError, match=r"cannot write .*run\.pt: .*; what was there is unchanged"):
        save(path, optimizer, to="pytorch")
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("package", ["timm", "sb3", "torch"])
def test_a_state_from_the_traces_goes_on_in_ours(package: str) -> None:
    # What live packages left behind, in their layouts, half way.
    document = json.loads((GOLDEN / f"{package}.json").read_text(encoding="utf-8"))
    half, tried = 3, 0
    for case in document["cases"]:
        real = case["dtype"]
        problem, lr, axes = document["problems"][case["problem"]], case["lr"], case["axes"]
        if real not in ("float32", "float64") or len(problem["grads"]) > 6:
            continue
        rule = rmsprop.dialect(case["dialect"], **axes)
        group = {"alpha": rule.decay, "eps": rule.eps, "momentum": rule.momentum, "centered": rule.centered}
        group |= {"weight_decay": rule.weight_decay, "lr": lr[(half - 1) % len(lr)], "params": [0]}
        if package == "timm":
            group |= {"decoupled_decay": rule.weight_decay_form != "coupled", "lr_in_momentum": rule.lr_in_momentum}
        if package == "torch":
            group |= {"maximize": rule.maximize}
        slots = {"v": "square_avg", "m": "grad_avg", "b": "momentum_buffer"}
        entry = {
            name: torch.tensor(case[slot][half - 1], dtype=getattr(torch, real)) for slot, name in slots.items() if slot in case
        }
        state = capture({"state": {0: {"step": half, **entry}}, "param_groups": [group]}, kind="sb3" if package == "sb3" else None)
        p = torch.nn.Parameter(torch.tensor(case["p"][half - 1], dtype=getattr(torch, real)))
        optimizer = rmsprop.torch.RMSprop([p], lr=1.0, fused=False)
        restore(optimizer, state)
        row = TOLERANCES[f"golden {package} {real}"]
        largest = np.abs(np.array(case["p"][half - 1], real))
        for t in range(half, 6):
            train([p], optimizer, [[torch.tensor(problem["grads"][t], dtype=p.dtype)]], [lr[t % len(lr)]])
            theirs = np.array(case["p"][t], real)
            largest = np.maximum(largest, np.abs(theirs))
            assert (np.abs(p.detach().numpy() - theirs) <= row.parameter * np.spacing(largest)).all(), row.reason
        tried += 1
    assert tried > 5


def bitsandbytes(state1: Any, **more: Any) -> dict[str, Any]:
    """Return a state_dict as bitsandbytes has it."""
    group = {"lr": 0.1, "betas": (0.9, 0.5), "eps": 1e-8, "weight_decay": 0.0, "params": [0]}
    return {"state": {0: {"step": 4, "state1": state1, **more}}, "param_groups": [group]}


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_state_of_bitsandbytes_is_read(wrapped: bool) -> None:
    saved = bitsandbytes(torch.full((2, 3), 0.5))
    if wrapped:  # as releases since 0.47 do
        entry = saved["state"][0]
        saved["state"][0] = {"step": 4, "__bnb_optimizer_quant_state__": {"state1": entry["state1"]}}
    state = capture(saved)
    (p,) = state.parameters
    assert (p.step, state.groups[0].lr, state.origin) == (4, 0.1, "bitsandbytes.optim.RMSprop")
    assert state.groups[0].rule == rmsprop.dialect("bitsandbytes", decay=0.9).replace(lr=None)
    assert (p.slots["square_avg"] == 0.5).all()


def test_what_bitsandbytes_keeps_in_codes_or_for_others_is_refused() -> None:
    codes = torch.zeros(2, 3, dtype=torch.uint8)
    more = {"qmap1": torch.ones(256), "absmax1": torch.ones(1)}
    with pytest.raises(ConversionError, match=r"is 8-bit, in codes .* optim_bits=32, or dequantize it there"):
        capture(bitsandbytes(codes, **more))
    with pytest.raises(ConversionError, match="this is the state of bitsandbytes' Adam, by its 'state2'"):
        capture(bitsandbytes(torch.ones(2), state2=torch.ones(2)))
    for key, value in (("eps", 0.0), ("betas", (0.0, 0.0))):
        saved = bitsandbytes(torch.ones(2))
        saved["param_groups"][0][key] = value
        with pytest.raises(ConversionError, match="it is of bitsandbytes' Adagrad, SGD or Lion"):
            capture(saved)
    bare = {**bitsandbytes(torch.ones(2)), "state": {}}
    with pytest.raises(UsageError, match=r'have the keys of many optimizers; .* say kind="bitsandbytes"'):
        capture(bare)
    assert capture(bare, kind="bitsandbytes").groups[0].rule.decay == 0.9


def test_what_bitsandbytes_does_besides_its_groups_is_refused() -> None:
    _, optimizer = trained("bitsandbytes")
    capture(optimizer)
    optimizer.args.max_unorm = 1.0
    with pytest.raises(ConversionError, match=r"this optimizer steps with max_unorm=1\.0, which no rule of RMSprop does"):
        capture(optimizer)
    optimizer.args.max_unorm = 0.0
    optimizer.mng.pid2config[id(optimizer.param_groups[0]["params"][1])] = {"lr": 0.5}
    with pytest.raises(ConversionError, match=r"lr of parameter 1 of group 0 is overridden with 0\.5 by GlobalOptimManager"):
        capture(optimizer)
    optimizer.mng.initialize()
    capture(optimizer)
