"""The optimizer's part of Keras's files, written: alone, or into a file that has the model already."""

import shutil
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rmsprop.checkpoint.canonical import AVERAGE, Array, Group, State
from rmsprop.checkpoint.errors import ConversionError, UsageError, unwritten
from rmsprop.checkpoint.keras.config import one_rate, refuse_differences
from rmsprop.checkpoint.keras.files import MARK, PLACES, Found, laid_out, model_names, taken
from rmsprop.checkpoint.keras.hdf5 import WEIGHTS, contents, opened
from rmsprop.checkpoint.keras.layout import Layout, filled, one_count
from rmsprop.checkpoint.kinds import Kind
from rmsprop.files import Draft, replace


def write(path: Path, state: State, kind: Kind) -> None:
    """Write a state into a file of Keras.

    Into a .keras or .weights.h5 file that is there goes the optimizer's part, in the place of the one that it had; the model stays.
    A .weights.h5 file that is not there will have the optimizer's part alone: build the optimizer, then load it by
    `model.load_weights(path, skip_mismatch=True)`, which warns of the model's variables and leaves them as they are.

    Args:
        path: NAME.keras, which has to be there, or NAME.weights.h5.
        state: what `moved` returned for the kind.
        kind: "keras" or "rmsprop.keras".

    Raises:
        UsageError: the file has another name, or Keras writes no such file.
        ConversionError: the file's model or its optimizer is another one than the state's.
        FileError: the file that is there is damaged.
        SaveError: it cannot be written. After any error the file is as it was.
    """
    if kind.module != "keras":
        raise ConversionError(
            f"no file of {kind.optimizer} is written; restore the state into the optimizer and save the model, or write 'keras'"
        )
    archive = path.name.endswith(".keras")
    if not archive and not path.name.endswith(".weights.h5"):
        raise UsageError(f"Keras loads weights from files called NAME.weights.h5 or NAME.keras, got {path.name!r}")
    if archive and not path.exists():
        raise UsageError(
            f"{path} is not there, and a .keras file is a model's: save the model first, or write a .weights.h5 file, which may "
            "have the optimizer's part alone"
        )
    variables, found = _variables(path, state, kind)
    marked = state.groups[0].rule.switches["VARIANCE"]
    try:
        with Draft(path) as draft:
            if archive:
                with opened(path) as source, Draft(path.with_name(f".{path.name}.h5")) as inner:
                    with open(inner.path, "wb") as out:
                        shutil.copyfileobj(source.open(WEIGHTS), out)
                    _put(inner.path, variables, marked, found)
                    with zipfile.ZipFile(draft.path, "w") as packed:
                        for info in source.infolist():
                            if info.filename != WEIGHTS:
                                with packed.open(info.filename, "w") as out:
                                    shutil.copyfileobj(source.open(info), out)
                        packed.write(inner.path, WEIGHTS)
            else:
                if found is not None:
                    shutil.copyfile(path, draft.path)
                _put(draft.path, variables, marked, found)
            replace([draft])
    except OSError as error:
        raise unwritten(path, error) from error


def _put(path: Path, variables: Sequence[Array], marked: bool, found: Found | None) -> None:
    """Put the optimizer's variables into an HDF5 file."""
    import h5py

    with h5py.File(path, "w" if found is None else "r+", locking=False) as file:  # the draft has a lock of its own
        name = "rm_sprop" if found is None else found.held.notes.get(PLACES[1], {}).get("name", "rm_sprop")
        if "optimizer" in file:
            del file["optimizer"]
        group = file.create_group(PLACES[1])
        group.attrs["name"] = name
        for k, array in enumerate(variables):
            group[str(k)] = array
        if marked:
            group[MARK] = np.ones(1, np.int32)


def _variables(path: Path, state: State, kind: Kind) -> tuple[list[Array], Found | None]:
    """Return the optimizer's variables in Keras's order, and what the file has that they are to go into."""
    first = _one_group(state)
    what = kind.optimizer
    if any(p.complex for p in first.parameters):
        raise ConversionError(f"{what} keeps real numbers, and this state has complex ones")
    if not path.exists():
        averaged = any(AVERAGE in p.slots for p in first.parameters)
        return _filled(Layout(first.rule, True, averaged, False), first, 1, what), None
    found = taken(contents(path), path)
    if found.wrapper or any(name.startswith(PLACES[0]) for name in found.held.arrays):
        raise ConversionError(
            f"{path} has a LossScaleOptimizer around its optimizer; restore the state into the optimizer itself and save the model"
        )
    if found.kind is not None and found.kind != kind:
        raise ConversionError(
            f"{path} has a {found.kind.optimizer}, and the state is to be one of {what}; compile the model with that"
        )
    names = model_names(found.held)
    if names is not None:
        first = state.arranged([list(names)], names).groups[0]
    elif found.held.shapes:
        own = Counter(shape for name, shape in found.held.shapes.items() if not name.startswith("optimizer"))
        odd = next((p for p in first.parameters if not own[p.shape or ()]), None) if own else None
        if odd is not None:
            raise ConversionError(f"{odd.name!r} has shape {odd.shape}, and the model in {path} has no variable of that shape")
    step = one_count(first.parameters, what)
    if found.said is None:
        averaged = any(AVERAGE in p.slots for p in first.parameters)
        try:
            rate = laid_out(found, first.rule).rate
        except ConversionError:  # of an optimizer that was not built, or of another rule
            rate = True
        layout = Layout(first.rule, rate, averaged, False)
        return _filled(layout, first, 1, what), found
    refuse_differences(state, first.rule, found.said.rule, kind, "all parameters", begun=step > 0)
    layout = Layout(first.rule, found.said.lr is not None, found.said.averaged, found.said.every > 1)
    return _filled(layout, first, found.said.every, what), found


def _one_group(state: State) -> Group:
    """Return the state's one group, or refuse several rules: no file of Keras says which parameter has which."""
    first = state.groups[0]
    for group in state.groups[1:]:
        one_rate(group, first)
        if group.rule != first.rule:
            raise ConversionError(
                "a file of Keras has one rule for all parameters, and this state has several; write 'rmsprop', and restore it into "
                "the optimizer"
            )
    parameters = tuple(state.parameters)
    return Group(first.rule, first.lr, parameters, first.options)


def _filled(layout: Layout, group: Group, every: int, what: str) -> list[Array]:
    """Return the variables of an optimizer: the count of batches, perhaps the learning rate, and the blocks."""
    count = one_count(group.parameters, what) * every
    if count >= 2**31:
        raise ConversionError(f"{what} counts batches in 32 bits, and this state has {count}")
    found: list[Array] = [np.asarray(count, np.int32)]
    if layout.rate:
        if group.lr is None:
            raise ConversionError(f"a file of {what} holds the learning rate, and none is known; pass lr, or --lr")
        found.append(np.asarray(group.lr, np.float32))
    return [*found, *filled(layout, group.parameters, what)]
