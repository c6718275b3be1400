"""The optimizer's part of Keras's files: what its numbered variables are, in .keras, .weights.h5 and .h5 files."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from rmsprop.checkpoint.canonical import Array, State
from rmsprop.checkpoint.errors import ConversionError, FileError, UsageError
from rmsprop.checkpoint.keras.config import Said, said
from rmsprop.checkpoint.keras.hdf5 import Contents, contents, plain
from rmsprop.checkpoint.keras.layout import PENDING, Layout, fits, group, steps
from rmsprop.checkpoint.keras.names import of_state, texts, trainable
from rmsprop.checkpoint.kinds import KINDS, Kind, Told
from rmsprop.rule import Rule

# Beside the numbered variables of `rmsprop.keras`: those named "velocity" elsewhere hold the variance of the gradient.
MARK = "variance"
PLACES = ("optimizer/inner_optimizer/vars/", "optimizer/vars/")
_LEGACY = "optimizer_weights/"
_WRAPPER = 4  # variables of a LossScaleOptimizer: iteration, learning rate, step counter, scale


class Found(NamedTuple):
    """An optimizer's part of a file.

    Args:
        path: the file.
        held: what it holds.
        kind: which optimizer wrote it, as far as it says.
        said: what its config says; None where there is none.
        marked: whether it keeps variances in place of mean squares.
        variables: all of them, in order.
        names: of the parameters; None where they are not there.
        wrapper: the variables of the LossScaleOptimizer around it.
    """

    path: Path
    held: Contents
    kind: Kind | None
    said: Said | None
    marked: bool
    variables: list[Array]
    names: list[str] | None
    wrapper: list[Array]


def read(path: Path, kind: Kind | None, told: Told) -> State:
    """Return the state in a file that Keras or tf_keras wrote.

    A .weights.h5 file holds no hyper-parameters: say what was said to the constructor. Which parameters were left out of weight
    decay stands in no file of Keras. Names are those of the variables without the model's where the model's config tells them,
    otherwise indices in the order of `model.trainable_variables`.

    Args:
        path: a .keras, .weights.h5 or .h5 file.
        kind: which optimizer wrote it, where the file does not say.
        told: what the file does not hold.

    Raises:
        FileError: it is damaged, or holds no state of RMSprop.
        UsageError: something has to be said, or is said twice.
        ConversionError: the state is incomplete.
    """
    found = taken(contents(path), path)
    if kind is not None and found.kind is not None and kind != found.kind:
        raise UsageError(f"{path} was written by {found.kind.optimizer}, not by {kind.optimizer}; leave kind out")
    kind = found.kind or kind or KINDS["rmsprop.keras" if found.marked else "keras"]
    if not found.variables:
        raise FileError(
            f"{path} holds no optimizer state: the model was saved before a step was taken, or by tf_keras's legacy optimizer, "
            "whose state goes into .h5 files and checkpoints of TensorFlow only"
        )
    try:
        state = _state(found, kind, told)
    except UsageError:
        raise
    except ConversionError as error:
        raise ConversionError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(f"{path} is damaged: its optimizer is malformed ({error})") from None
    return state


def taken(held: Contents, path: Path) -> Found:
    """Return the optimizer's part of a file.

    Args:
        held: what the file holds.
        path: its name, for messages.

    Raises:
        FileError: it is of another optimizer than RMSprop, or malformed.
    """
    legacy = held.notes.get("", {}).get("training_config")
    config, inside = None, False
    if legacy is not None:
        config = plain(legacy, f"training_config of {path}").get("optimizer_config")
    elif held.config is not None:
        config = (held.config.get("compile_config") or {}).get("optimizer")
        if config is None:
            raise FileError(f"{path} holds a model without an optimizer: it was not compiled")
    kind, config, inside = _class(config, held.version, path)
    names: list[str] | None
    if legacy is not None:
        variables, names, marked = _listed(held)
        wrapper, variables = (variables[:_WRAPPER], variables[_WRAPPER:]) if inside else ([], variables)
        return Found(path, held, kind, _said(config, kind, path), marked, variables, names, wrapper)
    place = next((place for place in PLACES if any(name.startswith(place) for name in held.arrays)), PLACES[1])
    variables, marked = _numbered(held.arrays, place, path)
    wrapper = [] if place == PLACES[1] else _numbered(held.arrays, PLACES[1], path)[0]
    told = None if config is None else _said(config, kind, path)
    return Found(path, held, kind, told, marked, variables, None, wrapper)


def laid_out(found: Found, rule: Rule, *, rate_said: bool = False) -> Layout:
    """Return how an optimizer's variables are laid out, or refuse those that fit no way.

    Args:
        found: the variables.
        rule: the optimizer's.
        rate_said: where a scalar may be the learning rate or a parameter's, whether the former was said besides.
    """
    shapes = [v.shape for v in found.variables]
    if found.said is not None:
        # tf_keras keeps the learning rate beside its variables.
        rate = found.said.lr is not None and found.kind is not None and found.kind.module == "keras"
        layout = Layout(rule, rate, found.said.averaged, found.said.every > 1)
        if fits(layout, shapes):
            return layout
    else:
        scalar = len(found.variables) > 1 and shapes[1] == () and found.variables[1].dtype.kind == "f"
        ways = [Layout(rule, rate, False, False) for rate in (True, False) if scalar or not rate]
        ways = [way for way in ways if fits(way, shapes) and _of_model(way, shapes, found.held)]
        if ways:
            return ways[-1] if rate_said else ways[0]
    raise ConversionError(
        f"the shapes of its {len(shapes)} optimizer variables are not those of a rule with momentum={rule.momentum:g} and "
        f"centered={rule.centered}"
        + (
            ""
            if found.said
            else "; say momentum and centered as they were; with use_ema or gradient accumulation, read a .keras file"
        )
    )


def _state(found: Found, kind: Kind, told: Told) -> State:
    """Return the state in an optimizer's part of a file."""
    path = found.path
    if found.said is None:
        rule = told.rule(kind)
        if found.marked and not rule.centered:
            raise UsageError(f"{path} holds variances: say centered=True or --set centered=true, and momentum if there was any")
        if rule.centered:
            told.refuse(str(path), "centered_form")
            rule = rule.replace(centered_form="variance" if found.marked else "difference")
        layout = laid_out(found, rule, rate_said=told.lr is not None)
        if not (isinstance(told.dialect, Rule) or {"momentum", "centered"} <= told.axes.keys()):
            _refuse_doubt(found, layout)
        lr = float(found.variables[1]) if layout.rate else told.rate(kind)
        every, options = 1, {}
        told.refuse(str(path), "step", *(["lr"] if layout.rate else []))
    else:
        (replace(told, lr=None) if found.said.lr is None else told).refuse_rule(str(path))
        rule, every, options = found.said.rule, found.said.every, dict(found.said.options)
        if rule.switches["VARIANCE"] != found.marked:
            raise FileError(f"{path} is damaged: its config and its variables differ in whether variances are kept")
        layout = laid_out(found, rule)
        lr = float(found.variables[1]) if layout.rate else found.said.lr if found.said.lr is not None else told.rate(kind)
    if found.variables[0].dtype.kind not in "iu" or found.variables[0].shape != ():
        raise FileError(f"{path} is damaged: its first optimizer variable must be a count of steps")
    blocks = layout.parted(found.variables)
    step = steps(int(found.variables[0]), every, blocks.get(PENDING, ()), kind.optimizer)
    if len(found.wrapper) >= _WRAPPER:
        options["loss_scale"] = {"dynamic_scale": float(found.wrapper[3]), "step_counter": int(found.wrapper[2])}
    names = _names(found, blocks[layout.blocks[-1]], told)
    return State((group(layout, lr, step, names, blocks, options),), 0, kind.optimizer, told.allow_nan)


def _refuse_doubt(found: Found, layout: Layout) -> None:
    """Refuse variables that another number of parameters could have under another rule, where no model tells how many there are."""
    shapes = [v.shape for v in found.variables[1 + layout.rate :]]
    alone = all(name.startswith("optimizer") for name in found.held.shapes)
    fitting = [n for n in (1, 2, 3) if not len(shapes) % n and shapes == shapes[: len(shapes) // n] * n]
    if alone and shapes and len(fitting) > 1:
        counts = " or ".join(str(len(shapes) // n) for n in fitting)
        raise UsageError(
            f"{found.path} holds an optimizer alone, whose {len(shapes)} arrays may be of {counts} parameters, depending on "
            "momentum and centered; say both as they were: momentum=0.9, centered=False, or --set momentum=0.9,centered=false"
        )


def _names(found: Found, arrays: list[Array], told: Told) -> list[str]:
    """Return the names of the parameters: those that were said, those in the file, or indices."""
    if told.names is not None:
        if len(told.names) != len(arrays):
            raise UsageError(f"{found.path} has {len(arrays)} parameters, got {len(told.names)} names")
        return list(told.names)
    if found.names is not None and len(set(found.names[-len(arrays) :])) == len(arrays):
        return found.names[-len(arrays) :]
    named = model_names(found.held)
    if named is not None and list(named.values()) == [array.shape for array in arrays]:
        return list(named)
    return [str(i) for i in range(len(arrays))]


def model_names(held: Contents) -> dict[str, tuple[int, ...]] | None:
    """Return the names of a model's trainable variables in their order, with their shapes, where its config tells them."""
    return None if held.config is None else trainable(held.config, held.shapes, held.notes)


def _of_model(layout: Layout, shapes: list[tuple[int, ...]], held: Contents) -> bool:
    """Return whether the model in a file, if there is one, has variables of the parameters' shapes."""
    own = Counter(shape for name, shape in held.shapes.items() if not name.startswith("optimizer"))
    return not own or not Counter(layout.parted(shapes)[layout.blocks[-1]]) - own


def _class(config: Any, version: str, path: Path) -> tuple[Kind | None, Any, bool]:
    """Return which optimizer a config is of, its own arguments, and whether a LossScaleOptimizer is around it."""
    if config is None:
        return None, None, False
    old = version.startswith("2.")
    if isinstance(config, str):
        config = {"class_name": config, "config": {}}
    inside = isinstance(config, dict) and str(config.get("class_name")).endswith("LossScaleOptimizer")
    if inside:
        config = (config.get("config") or {}).get("inner_optimizer")
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
        raise FileError(f"{path} is damaged: its optimizer has no config")
    name = str(config.get("class_name"))
    if name.lower().rpartition(">")[2] != "rmsprop":
        raise FileError(f"{path} holds the state of {name[:80]!r}, and only that of RMSprop is read")
    if "rmsprop>RMSprop" in (config.get("registered_name"), name):
        kind = "rmsprop.keras"
    elif old:
        # Both are called RMSprop; what the one has and the other lacks tells them apart.
        kind = "keras-legacy" if "decay" in config["config"] else "tf-keras"
    else:
        kind = "keras"
    return KINDS[kind], config["config"], inside


def _said(config: Any, kind: Kind | None, path: Path) -> Said:
    """Return what a config in a file says."""
    try:
        assert kind is not None
        return said(config, kind)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileError(f"{path} is damaged: its optimizer's config is malformed ({error})") from None


def _numbered(arrays: Mapping[str, Array], place: str, path: Path) -> tuple[list[Array], bool]:
    """Return the variables under a place of the file, in the order of their numbers, and whether the mark is among them."""
    here = {name.removeprefix(place): array for name, array in arrays.items() if name.startswith(place)}
    marked = here.pop(MARK, None) is not None
    wanted = [str(k) for k in range(len(here))]
    if here.keys() != set(wanted):
        odd = sorted(here.keys() - set(wanted)) or ["nothing"]
        raise FileError(
            f"{path} is damaged: its {len(here)} optimizer variables are not numbered through, there is {odd[0][:80]!r}"
        )
    return [here[name] for name in wanted], marked


def _listed(held: Contents) -> tuple[list[Array], list[str] | None, bool]:
    """Return the variables that a legacy file lists by name, the parameter of each, and whether there are variances."""
    listed = texts(held.notes.get(_LEGACY, {}), "weight_names")
    try:
        variables = [held.arrays[f"{_LEGACY}{name}"] for name in listed]
    except KeyError as error:
        raise FileError(f"the file is damaged: it lists {error.args[0]!r}, which is not there") from None
    layers = {name: notes for name, notes in held.notes.items() if name.startswith("model_weights/")}
    own = [weight for notes in layers.values() for weight in texts(notes, "weight_names")]
    return variables, of_state(listed, own), any(name.endswith(f"_{MARK}") for name in listed)
