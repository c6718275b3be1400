"""Settings for the tests and for the examples in docstrings."""

import os

# Keras takes its backend when it is imported: one that other tests load anyway. Those of the others have processes of their own.
os.environ.setdefault("KERAS_BACKEND", "torch")
