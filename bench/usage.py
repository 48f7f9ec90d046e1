"""Resource usage of a process tree: CPU by role, peak memory."""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psutil  # type: ignore[import-untyped]  # ships no types

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_SERVICE: Final = re.compile(r"imagegateway\.(?!stack|cli)(\w+)")
_PROGRAMS: Final = {
    "nats-server": "nats",
    "envoy": "envoy",
    "process-manager": "manager",
    "router-0": "router",
    "providers": "providers",
    "media": "media",
}
"""Roles by the kernel's names of processes."""
_PAUSE: Final = 0.25


class UsageError(Exception):
    """The process tree changed during the measurement."""


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds, user and system, of each living process."""

    by_process: dict[tuple[int, str], float]
    """Keyed by process id and role."""

    @classmethod
    def of(cls, root: int) -> Usage:
        """Return the usage of all descendants of a process."""
        found: dict[tuple[int, str], float] = {}
        for process in _tree(root):
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                times = process.cpu_times()
                found[process.pid, _role(process)] = times.user + times.system
        return cls(found)

    def since(self, before: Usage) -> dict[str, float]:
        """Return seconds by role. Raises UsageError if a process ended in between, since its usage is lost."""
        if gone := before.by_process.keys() - self.by_process.keys():
            raise UsageError(f"{', '.join(sorted(role for _, role in gone))} ended during the measurement")
        used: dict[str, float] = {}
        for process, seconds in self.by_process.items():
            role = process[1]
            used[role] = used.get(role, 0.0) + seconds - before.by_process.get(process, 0.0)
        return used


class Peak:
    """Sampler of a tree's resident memory during a context. Shared pages count in each process."""

    def __init__(self, root: int) -> None:
        self.bytes = 0
        self._root = root
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        processes = _tree(self._root)
        while True:
            resident = 0
            for process in processes:
                with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    resident += process.memory_info().rss
            self.bytes = max(self.bytes, resident)
            if self._stop.wait(_PAUSE):
                return


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory in bytes."""

    pss: int = 0
    """Proportional set size: pages that processes share count once in all."""
    rss: int = 0
    """Resident set size: shared pages count in each process."""

    def __add__(self, other: Memory) -> Memory:
        return Memory(self.pss + other.pss, self.rss + other.rss)


def memory(root: int) -> dict[str, Memory]:
    """Return the memory by role, of all descendants of a process."""
    found: dict[str, Memory] = {}
    for process in _tree(root):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            full = process.memory_full_info()
            role = _role(process)
            found[role] = found.get(role, Memory()) + Memory(full.pss, full.rss)
    return found


def started_at(root: int) -> float:
    """Return the Unix time at which the program of a launcher was started."""
    return min(float(process.create_time()) for process in psutil.Process(root).children())


def busy() -> float:
    """Return CPU seconds of the whole machine so far, without idle and I/O wait."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


def _tree(root: int) -> list[psutil.Process]:
    return list(psutil.Process(root).children(recursive=True))


def _role(process: psutil.Process) -> str:
    if program := _PROGRAMS.get(process.name()):
        return program
    command: list[str] = process.cmdline()
    if "bench.replica" in command:
        return "router"
    for part in command[1:5]:
        if service := _SERVICE.fullmatch(part):
            return service[1]
    return "up"
