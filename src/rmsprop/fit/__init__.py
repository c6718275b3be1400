"""Fit a model to data by RMSprop, then polish the last digits.

>>> import numpy as np
>>> from rmsprop.fit import fit
>>> x = np.linspace(-1, 1, 20)
>>> result = fit({"x": x, "y": 2 * x + 1}, "y = a*x + b")
>>> round(result.parameters["a"].value, 9)
2.0
"""

from rmsprop.fit.errors import DataError, DivergedError, FitError, UsageError
from rmsprop.fit.result import FitResult, Parameter
from rmsprop.fit.solve import fit

__all__ = ["DataError", "DivergedError", "FitError", "FitResult", "Parameter", "UsageError", "fit"]
