"""Load of a test: calls without a pause from a few threads, and what became of each."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tests.support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fleet.fleet import Fleet
    from tests.gateway.jobs.calls import Caller
    from tests.gateway.rest import Answer

PAID: Final[dict[str, Any]] = {"model": "openai/gpt-image-1", "size": "1024x1024"}
"""Fields of a generation at a provider that bills each call."""
_PROGRESS_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `began` is in monotonic seconds; `failure` is empty for an answer with status 200."""

    began: float
    failure: str


def _generate(caller: Caller) -> Answer:
    return caller.generate()


def paid(caller: Caller) -> Answer:
    """Make an image at a provider that bills each call."""
    return caller.generate(**PAID)


class Load:
    """Calls without a pause, within the context. `ask` makes a call; by default a generation."""

    def __init__(self, fleet: Fleet, ask: Callable[[Caller], Answer] = _generate, threads: int = 3) -> None:
        self._caller = fleet.caller()
        self._ask = ask
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]
        self.calls: list[Call] = []

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def more(self, count: int) -> None:
        """Wait for further calls."""
        goal = len(self.calls) + count
        eventually(lambda: len(self.calls) >= goal, _PROGRESS_SECONDS, f"{count} calls more")

    def failures(self, after: float = 0.0) -> list[str]:
        """Return the failures of calls that began after a monotonic time."""
        return [call.failure for call in self.calls if call.failure and call.began > after]

    @property
    def succeeded(self) -> int:
        """Number of calls without a failure."""
        return sum(not call.failure for call in self.calls)

    def _run(self) -> None:
        while not self._stopped.is_set():
            began = time.monotonic()
            try:
                answer = self._ask(self._caller)
                failure = "" if answer.status == 200 else f"{answer.status} {answer.body[:300]!r}"
            except OSError as error:
                failure = repr(error)
            self.calls.append(Call(began, failure))
