"""`imagegateway status`: health, key, limits and jobs of a gateway, and the processes of this machine's stack."""

from __future__ import annotations

import mmap
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from xmlrpc.client import Error, ServerProxy

from cyclopts import App
from imagegateway.cli.client import ApiError, Client
from imagegateway.cli.local import settings_here
from imagegateway.cli.options import Json
from imagegateway.cli.target import Connection, NoGatewayError, Target
from imagegateway.cli.terminal import print_document, print_fields, print_table
from imagegateway.stack.local_access import LocalAccess
from supervisor.xmlrpc import SupervisorTransport

if TYPE_CHECKING:
    from collections.abc import Mapping

_LIMITS: Final = ("requests", "images")
_ACCEPTED: Final = "accepted"
_NOT_CHECKED: Final = "not checked"
_STATES: Final = ("queued", "running")
_MOST: Final = 100
"""Jobs that are counted for each state."""
app = App(name="status")


@dataclass(frozen=True, slots=True)
class _Process:
    """A process of the stack on this machine."""

    name: str
    state: str
    pid: int
    uptime_seconds: int
    memory_mib: int


@dataclass(slots=True)
class _Status:
    """State of a gateway, as JSON shows it."""

    object: str = field(default="status", init=False)
    url: str
    ready: bool = False
    not_ready: list[str] = field(default_factory=list)
    """Parts that are not ready."""
    key: str = _NOT_CHECKED
    key_from: str = ""
    """Origin of the key."""
    limits: dict[str, str] = field(default_factory=dict)
    jobs: dict[str, int] = field(default_factory=dict)
    """Jobs of the key's tenant by state, at most `_MOST` of each."""
    processes: list[_Process] = field(default_factory=list)


@app.default
def status(*, json: Json = False, connection: Connection = Connection()) -> int:
    """Show health, key, limits and jobs of a gateway, and the processes of this machine's stack.

    Return 1 if the gateway is not ready or refuses the key.
    """
    target, processes = _named_or_here(connection)
    found = _Status(target.url, key_from=target.key_from, processes=processes)
    with Client(target) as client:
        _read_health(client, found)
        if target.key:
            _read_key(client, found)
    if json:
        print_document(asdict(found))
    else:
        _print(found)
    return 0 if found.ready and found.key in {_ACCEPTED, _NOT_CHECKED} else 1


def _named_or_here(connection: Connection) -> tuple[Target, list[_Process]]:
    """Return the named gateway, else this machine's stack with its processes. A stack that starts has no key yet."""
    if target := Target.named(connection):
        return target, []
    current = settings_here()
    processes = _processes(current.socket("supervisor"))
    access = LocalAccess.load(current.data_dir)
    if access:
        return Target.here(access), processes
    if processes:
        return Target(current.local_url, "", current.socket("envoy-api")), processes
    raise NoGatewayError(current.data_dir)


def _read_health(client: Client, found: _Status) -> None:
    try:
        client.request("GET", "/readyz")
    except ApiError as error:
        found.not_ready = error.document.get("not_ready", [])
    else:
        found.ready = True


def _read_key(client: Client, found: _Status) -> None:
    """Make the calls that the key allows. A key that may not list jobs is accepted all the same."""
    try:
        for state in _STATES:
            response = client.request("GET", "/v1/jobs", params={"status": state, "page_size": _MOST})
            found.limits = _limits(response.headers)
            found.jobs[state] = len(response.json()["data"])
    except ApiError as error:
        found.key = _ACCEPTED if error.status == 403 else str(error)
    else:
        found.key = _ACCEPTED


def _limits(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the rest of each limit of the key, from the headers that OpenAI's API has, too."""
    return {
        name: f"{headers[f'x-ratelimit-remaining-{name}']} of {headers[limit]} left, "
        f"full in {headers[f'x-ratelimit-reset-{name}']}"
        for name in _LIMITS
        if (limit := f"x-ratelimit-limit-{name}") in headers
    }


def _processes(socket: Path) -> list[_Process]:
    """Return the stack's processes, from its process manager; none if that can't be reached."""
    transport = SupervisorTransport(serverurl=f"unix://{socket}")
    with suppress(OSError, Error), ServerProxy("http://local", transport) as manager:
        listed: Any = manager.supervisor.getAllProcessInfo()
        return [_process(entry) for entry in listed]
    return []


def _process(entry: dict[str, Any]) -> _Process:
    running = entry["pid"] > 0
    return _Process(
        entry["name"],
        entry["statename"].lower(),
        entry["pid"],
        int(time.time() - entry["start"]) if running else 0,
        _memory(entry["pid"]) if running else 0,
    )


def _memory(pid: int) -> int:
    """Return the resident memory of a process in MiB, 0 if it has ended."""
    with suppress(OSError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * mmap.PAGESIZE >> 20
    return 0


def _print(found: _Status) -> None:
    fields = {
        "gateway": found.url,
        "health": "ready" if found.ready else f"not ready: {', '.join(found.not_ready) or 'no answer'}",
        "key": f"{found.key} (from {found.key_from})" if found.key_from else found.key,
        **{f"limit of {name}": text for name, text in found.limits.items()},
    }
    if found.jobs:
        fields["your jobs"] = ", ".join(f"{_count(number)} {state}" for state, number in found.jobs.items())
    print_fields(fields)
    if found.processes:
        print()
        rows = [
            (entry.name, entry.state, str(entry.pid), _duration(entry.uptime_seconds), f"{entry.memory_mib} MiB")
            for entry in found.processes
        ]
        print_table(("process", "state", "pid", "running for", "memory"), rows)


def _count(number: int) -> str:
    return f"{number} or more" if number == _MOST else str(number)


def _duration(seconds: int) -> str:
    """Return a duration by its two largest units."""
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    units = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    parts = [f"{number} {unit}" for number, unit in units if number]
    return " ".join(parts[:2]) or "0 s"
