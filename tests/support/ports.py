"""Ports for servers that start later, none of which another worker of this run or a gateway chooses meanwhile."""

from __future__ import annotations

import itertools
import os
import secrets
from typing import TYPE_CHECKING, Final

from imagegateway.platform import setting_source
from imagegateway.stack.free_port import is_free

if TYPE_CHECKING:
    from collections.abc import Sequence

_FIRST: Final = 8192
"""Up to 16,383 where the kernel's range begins at 32,768: a gateway chooses from 16,384 for its NATS server."""
_EACH: Final = 512
"""Ports of one worker."""
_WORKERS: Final = 16


def _own() -> Sequence[int]:
    """Return the ports of this process: those of its worker, or a share by its id without workers.

    They begin at any of them: another run of the tests on this machine has the same shares.
    """
    worker = setting_source.environment().get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    number = int(worker) if worker else os.getpid()
    first = _FIRST + number % _WORKERS * _EACH
    begin = secrets.randbelow(_EACH)
    return [first + (begin + index) % _EACH for index in range(_EACH)]


_PORTS: Final = itertools.cycle(_own())


def free_port() -> int:
    """Return a free TCP port of 127.0.0.1. Others come first before it is returned again."""
    return next(port for port in itertools.islice(_PORTS, _EACH) if is_free(port))
