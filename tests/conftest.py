"""Fixtures that several folders share."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import structlog

from tests.gateway.jobs.receiver import UNUSED_ADDRESS, Receiver, receiving
from tests.gateway.jobs.stacks import PAUSES
from tests.gateway.origin import Origin, serving
from tests.support import (
    examples,  # noqa: F401  registers the profile `quick`
    processes,
)
from tests.support.scheduling import StackScheduling, needs_stack, unit_of
from tests.support.stack import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack


# Without this, rich would render each logged traceback with all locals, in seconds of CPU.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ],
    logger_factory=structlog.PrintLoggerFactory(sys.__stderr__),  # stdout is the output of commands under test
)

# Collecting the tests makes a million objects that live to the end. No garbage collection has to visit them.
gc.disable()

_TESTS: Final = Path(__file__).parent
_CERTIFICATE: Final = _TESTS / "support" / "certificate.pem"
"""The only trusted certificate: each of many clients would load the system's 150 in 60 ms, and none calls outside."""

_GUARD: Final = processes.Guard()


def pytest_configure(config: pytest.Config) -> None:
    patch = pytest.MonkeyPatch()
    patch.setenv("SSL_CERT_FILE", str(_CERTIFICATE))
    config.add_cleanup(patch.undo)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start processes. Put the longest units first: the short ones keep every worker busy."""
    for item in items:
        processes.mark(item)
    files = {item: item.nodeid.split("::", 1)[0] for item in items}
    sizes = Counter(unit_of(file) for file in files.values())

    def order(item: pytest.Item) -> tuple[bool, bool, int]:
        unit = unit_of(files[item])
        return not needs_stack(files[item]), unit == files[item], -sizes[unit]

    items.sort(key=order)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    with _GUARD.watch(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    with _GUARD.watch(item):
        return (yield)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> StackScheduling | None:
    return StackScheduling(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def origin() -> Iterator[Origin]:
    """Yield the only web server from which the stack may fetch images."""
    with serving() as server:
        yield server


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    """Return the one server that takes webhooks."""
    with receiving() as server:
        yield server


@pytest.fixture(scope="session")
def stack(origin: Origin, receiver: Receiver) -> Iterator[Stack]:
    """Start the stack of every test that neither stops nor configures one: two routers, no provider with a key.

    Whatever the tests sent, in the end its log must hold nothing but events, and no key.
    """
    reachable = f"{origin.host} {receiver.host} {UNUSED_ADDRESS}"
    with running(routers="2", allow_hosts=reachable, webhook_pauses=PAUSES) as shared:
        yield shared
        assert shared.events()
        assert not [line for line in shared.log_lines() if shared.key in line]
