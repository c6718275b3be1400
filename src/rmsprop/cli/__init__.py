"""The command line: parse, call, print. Importing this loads nothing beyond NumPy."""

from __future__ import annotations

import os
import sys
from typing import Any

INTERRUPTED = 130
_EXTRA = "the command line needs more than NumPy; install it with: pip install 'rmsprop[fit]'"


def main() -> None:
    """Run the command line on the program's arguments, and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; every error is one plain message on stderr.

    Args:
        arguments: what follows the program's name.

    Returns:
        0; 1 for data or a run that failed; 2 for usage; 130 after Ctrl-C.
    """
    try:
        try:
            import typer

            from rmsprop.cli.app import app
        except ImportError as error:
            if (error.name or "").partition(".")[0] == "rmsprop":
                raise
            say(f"error: {_EXTRA}")
            return 1
        code = _call(typer, app, arguments)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        say("stopped; nothing was written")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader is gone, as after `| head`; what is left in the buffer has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _call(typer: Any, app: Any, arguments: list[str]) -> int:
    # Typer's parser is click in some versions and its own copy of it in others; its classes are found by way of Typer's.
    usage = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
    try:
        code = app(arguments, prog_name="rmsprop", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except typer.Exit as stop:
        return int(stop.exit_code)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except usage as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            sys.stderr.write(f"{error.format_message()}\n")
            return 2
        say(f"error: {error.format_message()}")
        return 2
    except BrokenPipeError:
        raise
    except Exception as error:
        code = getattr(error, "exit_code", None)
        if not isinstance(code, int):
            raise
        say(f"error: {error}")
        return code


def say(message: str) -> None:
    """Print a line on stderr in the program's name."""
    sys.stderr.write(f"rmsprop: {message}\n")
