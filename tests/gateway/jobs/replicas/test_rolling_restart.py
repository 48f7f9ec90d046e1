"""Rolling restart of every part under load: no call fails, and no provider is paid twice."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Final

import pytest

from tests.gateway.jobs.stacks import BACK_SECONDS, all_ready, manage
from tests.gateway.jobs.traffic import KINDS, traffic
from tests.support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.gateway.providers.providers import Providers
    from tests.support.stack import Stack

ROUNDS: Final = 2
PAUSE: Final = 0.5
"""Seconds of traffic between two restarts."""
PARTS: Final = ("router-0", "providers", "media", "router-1")


def by_signal(stack: Stack, name: str) -> None:
    process = stack.child(name)
    assert process
    process.send_signal(signal.SIGTERM)


def by_manager(stack: Stack, name: str) -> None:
    manage(stack, "stop", f"router:{name}")
    manage(stack, "start", f"router:{name}")


@pytest.mark.parametrize(
    ("restart", "parts"), [(by_signal, PARTS), (by_manager, ("router-0", "router-1"))], ids=["parts", "routers"]
)
def test_rolling_restart_fails_no_call(
    pair: Stack, paid: Providers, restart: Callable[[Stack, str], None], parts: tuple[str, ...]
) -> None:
    paid.forget()
    with traffic(pair) as calls:
        for name in parts * ROUNDS:
            before = pair.child(name)
            assert before
            pid = before.pid
            restart(pair, name)

            def back(name: str = name, pid: int = pid) -> bool:
                process = pair.child(name)
                return process is not None and process.pid != pid and all_ready(pair)

            eventually(back, BACK_SECONDS, f"{name} is back")
            time.sleep(PAUSE)
    assert calls.failures == []
    assert min(calls.answered[kind.__name__] for kind, _ in KINDS) > 3
    assert paid["openai"].billed == calls.answered["calling_by_sdk"]
