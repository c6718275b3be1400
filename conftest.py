"""Settings for the tests and for the examples in docstrings."""

import os
from contextlib import suppress

# Keras takes its backend when it is imported: one that other tests load anyway. Those of the others have processes of their own.
os.environ.setdefault("KERAS_BACKEND", "torch")

# Keras loads TensorFlow where it is installed. That and Triton bring LLVM along, which ends the process if Triton comes later.
with suppress(ImportError):
    import triton  # noqa: F401  # see above
