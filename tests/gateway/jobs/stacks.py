"""Stacks that tests stop, restart and damage, and keys of their tenants."""

from __future__ import annotations

import asyncio
import http.client
import secrets
import signal
import time
import xmlrpc.client
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from imagegateway.keys.key_store import KeyStore
from imagegateway.keys.root_secret import RootSecret
from imagegateway.platform import setting_source, settings
from imagegateway.platform.nats import connect
from supervisor.xmlrpc import SupervisorTransport

from tests.gateway import rest
from tests.gateway.jobs.calls import Caller
from tests.support.stack import eventually, short_folder, start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack

PAUSES: Final = "0.2,0.3,0.5,0.5,0.5,0.5,0.5"
"""Pauses between the eight attempts of a webhook."""
BACK_SECONDS: Final = 60.0
"""Seconds until a killed process serves again."""
_STEADY_SECONDS: Final = 1.5
"""Seconds after a start: the process manager counts an earlier end as a failed start."""


def new_caller(stack: Stack, tenant: str, prefer: str = "", **policy: Any) -> Caller:
    """Create a key of a tenant in this process: the command as a process takes seconds.

    `policy`: as in `KeyStore.create`.
    """

    async def create() -> str:
        values = {f"{setting_source.PREFIX}{name.upper()}": value for name, value in stack.values.items()}
        given = settings.load(setting_source.Source(values))
        root = RootSecret.load(given, make=False)
        client = await connect(given, "test")
        try:
            secret, _ = await (await KeyStore.open(client, replicas=1, root=root)).create(
                tenant, prefer=prefer, **policy
            )
        finally:
            await client.close()
        return secret

    return Caller(stack, asyncio.run(create()))


@dataclass(slots=True)
class RestartableStack:
    """A stack that a test can restart on the same data."""

    stack: Stack

    @property
    def caller(self) -> Caller:
        return Caller(self.stack, self.stack.key)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.stack.stop(number)

    def start(self, **changes: str) -> None:
        """Start the stack again, with settings that differ from those before."""
        self.stack = start(self.stack.folder, **{**self.stack.values, **changes})
        self.stack.wait_ready()


@contextmanager
def restartable_stack(**values: str) -> Iterator[RestartableStack]:
    """Start a stack for a test that ends the stack itself."""
    values = {"api_key": f"key-{secrets.token_hex(16)}", **values}
    with short_folder() as folder:
        restartable = RestartableStack(start(folder, **values))
        try:
            restartable.stack.wait_ready()
            yield restartable
        finally:
            restartable.stop()


def ready(stack: Stack) -> bool:
    """Return True if the gateway reports that it serves."""
    try:
        return rest.ask(stack, "GET", "/readyz", key="").status == 200
    except OSError:
        return False


def all_ready(stack: Stack) -> bool:
    """Return True if each process of the stack is ready, by the port for metrics."""
    connection = http.client.HTTPConnection("127.0.0.1", int(stack.values["metrics_port"]), timeout=30)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    finally:
        connection.close()


def kill(stack: Stack, name: str) -> int:
    """Kill a process by SIGKILL once it has run for a moment. Return its id."""
    deadline = time.monotonic() + BACK_SECONDS
    while True:
        process = stack.child(name)
        if process and time.time() - process.create_time() > _STEADY_SECONDS:
            process.kill()
            pid: int = process.pid
            return pid
        assert time.monotonic() < deadline, f"{name} does not come up"
        time.sleep(0.05)


def wait_back(stack: Stack, name: str, killed: int) -> None:
    """Return when a new process of that name runs, and the gateway says that it serves."""

    def back() -> bool:
        process = stack.child(name)
        return process is not None and process.pid != killed and ready(stack)

    eventually(back, BACK_SECONDS, f"{name} is back")


def manage(stack: Stack, action: str, name: str) -> None:
    """Send the stack's process manager the command to `stop` or `start` a process."""
    transport = SupervisorTransport(None, None, f"unix://{stack.socket('supervisor')}")
    with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as rpc:
        getattr(rpc.supervisor, f"{action}Process")(name)
