"""Drain of an Envoy before it stops: `/readyz` fails first, and connections close after their next response."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

from imagegateway.stack import unix_http

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_ACTIVE: Final = re.compile(rb"^http\.(?:public|admin)\.downstream_rq_active: (\d+)$", re.MULTILINE)
_POLL_SECONDS: Final = 0.2


def fail_readiness(admin: Path) -> None:
    """Let Envoy answer 503 to `/readyz`, and end each connection after its next response. Raises OSError.

    `admin` is the UNIX socket of Envoy's administration. Envoy accepts connections and requests as before.
    """
    unix_http.request(admin, "POST", "/healthcheck/fail")


def drain(
    admin: Path,
    lame_duck: float,
    grace: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Fail readiness, serve for `lame_duck` seconds, then wait up to `grace` seconds for running requests.

    Return the number of requests that still run. Raises OSError.
    """
    fail_readiness(admin)
    sleep(lame_duck)
    deadline = clock() + grace
    while (active := _active_requests(admin)) and clock() < deadline:
        sleep(_POLL_SECONDS)
    return active


def _active_requests(admin: Path) -> int:
    """Return the number of running requests. The one for this number counts among those of `admin`."""
    _, body = unix_http.request(admin, "GET", "/stats?filter=downstream_rq_active")
    return sum(map(int, _ACTIVE.findall(body))) - 1
