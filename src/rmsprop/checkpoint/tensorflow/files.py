"""The files of TensorFlow, which `bundle` opens, and those of tf_keras in HDF5."""

from pathlib import Path

from rmsprop.checkpoint.canonical import State
from rmsprop.checkpoint.errors import ConversionError
from rmsprop.checkpoint.keras import files
from rmsprop.checkpoint.kinds import Kind, Told
from rmsprop.checkpoint.tensorflow.bundle import Bundle
from rmsprop.checkpoint.tensorflow.read import by_name, by_object
from rmsprop.checkpoint.tensorflow.write import by_name as write_by_name


def read(path: Path, kind: Kind | None, told: Told) -> State:
    """Return the state in a checkpoint of TensorFlow, or in a file of tf_keras.

    Say what was said to the constructor, and the checkpoint does not hold: TF1's holds no hyper-parameters and needs lr; one of
    tf_keras ≥ 2.11 or Keras 3 holds lr, and whether there is momentum, but not how much; one of the legacy optimizer holds all but
    epsilon.

    Args:
        path: the name before ".index", with or without it, a directory with a "checkpoint" in it, or a .keras or .h5 file.
        kind: which optimizer wrote it.
        told: what it does not hold.

    Raises:
        FileError: it is damaged, or holds no state of RMSprop.
        UsageError: something has to be said, or is said twice.
        ConversionError: the state is incomplete.
        MissingExtraError: TensorFlow is not installed.
    """
    if path.is_file() and path.suffix != ".index":
        return files.read(path, kind, told)
    bundle = Bundle(path)
    graph = bundle.graph()
    return by_name(bundle, told) if graph is None else by_object(bundle, graph, kind, told)


def write(path: Path, state: State, kind: Kind) -> None:
    """Write a checkpoint of TF1; those of tf_keras are saved by it after a state was restored into its optimizer.

    Args:
        path: the name before ".index".
        state: what `moved` returned for the kind.
        kind: "tf1".

    Raises:
        ConversionError: it is another kind, or TF1's optimizer cannot keep the state.
        SaveError: it cannot be written.
    """
    if kind.name != "tf1":
        raise ConversionError(
            f"no file of {kind.optimizer} is written; restore the state into the optimizer, and save that by tf.train.Checkpoint"
        )
    write_by_name(path, state)
