"""Job list index without a thread, so that tests decide the order of events."""

from __future__ import annotations

import time
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from imagegateway.jobs.list_file import JobListFile
from imagegateway.jobs.list_index import JobListIndex

if TYPE_CHECKING:
    from collections.abc import Callable

_P = ParamSpec("_P")
_T = TypeVar("_T")


class InlineExecutor(Executor):
    """Runs each call at once, in the caller's thread."""

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        done: Future[_T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  the caller gets it
            done.set_exception(error)
        return done


def inline_index(file: JobListFile | None = None) -> JobListIndex:
    """Return an index over a file, by default a new one in memory."""
    return JobListIndex(file or JobListFile(Path(":memory:")), time.time, InlineExecutor())
