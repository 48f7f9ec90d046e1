"""Ctrl-C during a wait: the first one ends the command with a hint, the second one ends it at once."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_STATUS: Final = 128 + signal.SIGINT


@contextmanager
def hint_on_interrupt(hint: Callable[[], str]) -> Iterator[None]:
    """Print the hint after Ctrl-C, and exit with status 130."""
    before = signal.signal(signal.SIGINT, _interrupt_once)
    try:
        yield
    except KeyboardInterrupt:
        print(f"\n{hint()}", file=sys.stderr)
        raise SystemExit(_STATUS) from None
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupt_once(_number: int, _frame: object) -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing that the end of the block does can hold up a second one
    raise KeyboardInterrupt
