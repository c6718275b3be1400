"""Prints what was measured."""

import pytest

from tests.upstream.results import HEADER, results


def pytest_configure(config: pytest.Config) -> None:
    config.stash[results] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows = terminalreporter.config.stash.get(results, [])
    if rows:
        terminalreporter.section("largest differences from the upstreams")
        for line in [HEADER, *map(str, rows)]:
            terminalreporter.write_line(line)
