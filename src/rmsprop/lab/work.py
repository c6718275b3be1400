"""Where requests are worked on: a few threads, each piece of work with a limit of time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

from starlette.responses import Response

from rmsprop.errors import MissingExtraError, RefusedError
from rmsprop.lab.answers import to_json
from rmsprop.lab.deadline import Deadline, TimeUpError
from rmsprop.lab.setup import SetupError

#: Requests that are worked on at once.
WORKERS = 4
_LOG = logging.getLogger("rmsprop.lab")


class Work:
    """Some threads.

    Args:
        seconds: that a piece of work may take; that which watches its deadline stops by itself, other work is not waited for.
    """

    def __init__(self, seconds: float) -> None:
        self._threads = ThreadPoolExecutor(WORKERS, "lab")
        self._seconds = seconds
        self._stop = Event()

    async def answer(self, work: Callable[[Any, Deadline], Response], told: Any, patience: float = 1.0) -> Response:
        """Return what work makes of a request, or the error that it ends with.

        Args:
            work: what is to be done.
            told: what it is given.
            patience: how many times the seconds of others it may take.
        """
        seconds = patience * self._seconds
        deadline = Deadline(seconds, self._stop)
        future = asyncio.get_running_loop().run_in_executor(self._threads, work, told, deadline)
        try:
            return await asyncio.wait_for(future, seconds)
        except (TimeUpError, TimeoutError):
            return failure(503, f"this takes more than {seconds:g} s; take fewer steps, rows or optimizers")
        except MissingExtraError as error:
            return failure(501, str(error))
        except SetupError as error:
            return failure(400, str(error), error.field)
        except RefusedError as error:
            return failure(400, str(error))
        except Exception:
            _LOG.exception("a request failed")
            return failure(500, "the lab failed on this; what happened is on the terminal that it was started from")

    def close(self) -> None:
        """Let no work begin any more, and what runs end soon."""
        self._stop.set()
        self._threads.shutdown(wait=False, cancel_futures=True)


def success(value: Any) -> Response:
    """Return a value as an answer in JSON."""
    return Response(to_json(value), media_type="application/json")


def failure(status: int, message: str, field: str | None = None) -> Response:
    """Return an error as an answer.

    Args:
        status: of HTTP.
        message: what is wrong, and what to change.
        field: of the setup, such as "runs[0].decay", where there is one to blame.
    """
    return Response(to_json({"error": message, "field": field}), status, media_type="application/json")
