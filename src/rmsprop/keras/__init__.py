"""RMSprop as an optimizer of Keras, in every dialect, on whichever backend Keras runs.

>>> import keras
>>> weights = keras.Variable([1.0, -2.0], name="w")
>>> optimizer = RMSprop(0.1, dialect="tf1", momentum=0.9)
>>> optimizer.apply([2 * weights.value], [weights])
>>> [variable.name for variable in optimizer.variables[2:]]
['w_velocity', 'w_momentum']
"""

try:
    from rmsprop.keras.optimizer import RMSprop
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "keras":
        raise
    raise ImportError("rmsprop.keras needs Keras 3; install it with: pip install 'rmsprop[keras]'") from error

__all__ = ["RMSprop"]
