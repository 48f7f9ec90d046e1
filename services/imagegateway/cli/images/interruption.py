"""Ctrl-C and SIGTERM during a wait: the first signal ends the command with a hint, the second one at once."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class _Interruption(BaseException):
    """A signal that ends the command."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


@contextmanager
def hint_on_interrupt(hint: Callable[[], str]) -> Iterator[None]:
    """Print the hint after Ctrl-C or SIGTERM, and exit with status 130 or 143."""
    before = {number: signal.signal(number, _interrupt_once) for number in _SIGNALS}
    try:
        yield
    except _Interruption as interruption:
        print(f"\n{hint()}", file=sys.stderr)
        raise SystemExit(interruption.status) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt_once(number: int, _frame: object) -> NoReturn:
    for each in _SIGNALS:  # nothing that the end of the block does can hold up a second signal
        signal.signal(each, signal.SIG_DFL)
    raise _Interruption(number)
