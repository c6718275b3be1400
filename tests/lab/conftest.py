"""One lab for all tests that only ask it."""

import pytest

from tests.lab.harness import running


@pytest.fixture(scope="session")
def lab():
    with running() as found:
        yield found
