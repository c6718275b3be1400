"""A checkpoint of TF1, written."""

import shutil
import tempfile
from pathlib import Path

import numpy as np

from rmsprop.checkpoint.canonical import State
from rmsprop.checkpoint.errors import ConversionError, SaveError, unwritten
from rmsprop.checkpoint.keras.config import one_rate
from rmsprop.checkpoint.keras.layout import one_count
from rmsprop.checkpoint.tensorflow.bundle import tensorflow
from rmsprop.files import Draft, replace

NAME = "RMSProp"


def by_name(path: Path, state: State) -> None:
    """Write the optimizer's variables and the global step under TF1's names.

    `tf.compat.v1.train.Saver([*optimizer.variables(), global_step]).restore(session, path)` puts them into an RMSPropOptimizer
    of the default name; the learning rate and the other hyper-parameters are its constructor's.

    Args:
        path: the name before ".index", which must not be there: a checkpoint of two files cannot be replaced whole.
        state: what `moved` returned for "tf1".

    Raises:
        ConversionError: the parameters have several counts of steps or rules, or are complex.
        SaveError: it cannot be written.
    """
    tf = tensorflow()
    what = "tf.compat.v1.train.RMSPropOptimizer"
    for group in state.groups[1:]:
        one_rate(group, state.groups[0])
        if group.rule != state.groups[0].rule:
            raise ConversionError(f"{what} has one rule for all parameters, and this state has several; write one file for each")
    rule, parameters = state.groups[0].rule, list(state.parameters)
    arrays = {"global_step": np.asarray(one_count(parameters, what), np.int64)}
    for p in parameters:
        if p.complex or not p.slots:
            why = "is complex, and TF1 steps real parameters only" if p.complex else "has no arrays, as no step has reached it yet"
            raise ConversionError(f"{p.name!r} {why}")
        v = p.slots[rule.slots[0].name]
        # Without momentum TF1 keeps its last step there, and multiplies it by 0.
        kept = [v, *([p.slots["grad_avg"]] if rule.centered else []), p.slots.get("momentum_buffer", np.zeros_like(v))]
        arrays |= {f"{p.name}/{NAME}{f'_{k}' if k else ''}": array for k, array in enumerate(kept)}
    index, data = (Path(f"{path}{end}") for end in (".index", ".data-00000-of-00001"))
    if index.exists():
        raise SaveError(
            f"{index} is there; a checkpoint of TensorFlow has two files, which cannot be replaced at once: name a new one"
        )
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as place:
            prefix = f"{place}/new"
            with tf.device("CPU"):
                tensors = [tf.constant(np.ascontiguousarray(a).reshape(a.shape)) for a in arrays.values()]
                tf.raw_ops.SaveV2(prefix=prefix, tensor_names=list(arrays), shape_and_slices=[""] * len(arrays), tensors=tensors)
            with Draft(data) as first, Draft(index) as second:
                shutil.copyfile(f"{prefix}.data-00000-of-00001", first.path)
                shutil.copyfile(f"{prefix}.index", second.path)
                replace([first, second])
    except (OSError, tf.errors.OpError) as error:
        raise unwritten(path, error) from error
