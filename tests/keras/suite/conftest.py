"""Say which backend is tested, and leave alone what others warn of."""

import keras
import pytest

# Warnings are errors, but for these.
OTHERS = (
    # keras.Variable has not followed NumPy 2 in this.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
    # torch.compile's own parts.
    "ignore:`torch.jit.*` is deprecated:DeprecationWarning",
)


def pytest_configure(config):
    for line in OTHERS:
        config.addinivalue_line("filterwarnings", line)


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(f"Keras {keras.__version__} on {keras.backend.backend()}")


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(0)
