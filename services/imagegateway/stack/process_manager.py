"""supervisord that reacts at once, and forks the stack's Python processes instead of starting interpreters.

supervisord looks at its processes and signals once a second, so it starts nothing in its first second, restarts an
ended process a second late, and pauses between the groups of a stop. Here each signal wakes it.

An interpreter with the imports of a router takes more CPU time than the rest of its start, and 40 MB. This process
imports the modules of all Python processes once; each one is a fork, which shares that memory (decision 48).
"""

from __future__ import annotations

import gc
import importlib
import io
import os
import resource
import signal
import sys
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from imagegateway.platform import setting_source, settings
from imagegateway.providers.registry import FAMILIES
from imagegateway.stack.die_with_parent import die_with_parent
from imagegateway.stack.forked import exit_after
from imagegateway.stack.tuning import TUNED, tune_allocation
from setproctitle import setproctitle
from supervisor import options, poller, process, supervisord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_ROUNDS: Final = 2
"""Rounds of supervisord's loop without a wait: one to note the end of a process, one to start its successor."""
_COMM: Final = Path("/proc/self/comm")
"""The kernel's name of this process, which `ps -e` and `top` show."""
_HANDLED: Final = (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR2)
"""Signals that supervisord handles, beside SIGINT."""
_FIRST_DESCRIPTOR: Final = 3
"""First file descriptor behind those of standard input, output and error."""
_MODULES: Final = ("imagegateway.providers", "imagegateway.media", "imagegateway.router")
"""Modules of the stack's Python processes."""


class WakingPoller(poller.Poller):  # type: ignore[misc]  # ships no types
    """Poller that returns early after a signal, SIGCHLD included."""

    def initialize(self) -> None:
        super().initialize()
        self._rounds = _ROUNDS
        self._wakeups, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        self.register_readable(self._wakeups)

    def poll(self, timeout: float) -> tuple[list[int], list[int]]:
        """Return the files that can be read, and those that can be written, within `timeout` seconds."""
        readable, writable = super().poll(0 if self._rounds else timeout)
        self._rounds = max(0, self._rounds - 1)
        if self._wakeups in readable:
            readable.remove(self._wakeups)
            os.read(self._wakeups, 4096)
            self._rounds = _ROUNDS
        return readable, writable


class ForkedProgram(process.Subprocess):  # type: ignore[misc]  # ships no types
    """Program of supervisord's configuration. Its command may be `MODULE ARG …` for one of `_MODULES`.

    A program writes to this process's standard output itself.
    """

    def spawn(self) -> int | None:
        """Start the program. Return its process id, None if it can't be started."""
        if _is_module(self.config.command):
            _entry_points()
        self._manager = os.getpid()
        # In the child, supervisord's handlers would swallow a signal.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            pid: int | None = super().spawn()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return pid

    def get_execv_args(self) -> tuple[str, list[str]]:
        """Return the program's file, empty for a module, and the words of its command."""
        if _is_module(self.config.command):
            return "", self.config.command.split()
        found: tuple[str, list[str]] = super().get_execv_args()
        return found

    def _spawn_as_child(self, filename: str, argv: list[str]) -> NoReturn:
        exit_after(partial(self._become, filename, argv))

    def _become(self, filename: str, argv: list[str]) -> None:
        """Run the program in the forked process."""
        _reset_signals()
        os.setpgid(0, 0)
        os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
        os.closerange(_FIRST_DESCRIPTOR, self.config.options.minfds)
        die_with_parent(self._manager)
        if filename:
            os.execv(filename, argv)  # noqa: S606  replacing this process is the purpose
        _name(self.config.name, argv)
        gc.disable()  # until the frame of processes enables it
        _entry_points()[argv[0]](*argv[1:])


def run(config: Path, output: int, environment: Mapping[str, str], parent: int) -> None:
    """Run supervisord in a process that was forked for it, until SIGTERM.

    `output`: file descriptor of the output of all processes; `environment`: further variables for them; `parent`: id
    of the process with which this one ends.
    """
    os.setsid()  # Ctrl-C reaches the parent only, which stops the stack in order
    die_with_parent(parent)
    _name("process-manager", [__name__])
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.closerange(_FIRST_DESCRIPTOR, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    sys.stdout, sys.stderr = _unbuffered(1), _unbuffered(2)
    setting_source.add_environment({**environment, **TUNED})
    tune_allocation()
    settings.current.cache_clear()
    options.poller.Poller = WakingPoller
    process.Subprocess = ForkedProgram
    supervisord.main(["-c", str(config)])


def _name(name: str, command: Sequence[str]) -> None:
    """Show this process under a name, and with the command line that would start it alone.

    `command`: module and arguments. `ps -e` and `top` show the name, `ps aux` and `pgrep -f` the command line.
    """
    setproctitle(" ".join((sys.executable, "-m", *command)))
    _COMM.write_text(name)


def _unbuffered(descriptor: int) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.FileIO(descriptor, "w", closefd=False), errors="backslashreplace", write_through=True)


def _is_module(command: str) -> bool:
    return command.split(maxsplit=1)[0] in _MODULES


@cache
def _entry_points() -> Mapping[str, Callable[..., None]]:
    """Import what the stack's Python processes import, at the first call. Return their functions by module."""
    gc.disable()  # imports make 100,000 objects and hardly any garbage
    found = {module: importlib.import_module(f"{module}.__main__").start for module in _MODULES}
    for family in FAMILIES.values():
        if family.opener:
            family.load_opener()
        family.load_adapters()
    gc.freeze()
    gc.enable()
    return found


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in _HANDLED:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
