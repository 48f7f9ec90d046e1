"""Child processes that run a function of this program: a fork shares the memory of all imports."""

from __future__ import annotations

import atexit
import os
import select
import signal
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

_FAILED: Final = 1
"""Exit status after an exception, as that of a Python interpreter."""


class ForkedProcess:
    """A child process that runs a function and ends with it. No other thread may run at the fork."""

    def __init__(self, run: Callable[[], object]) -> None:
        self.pid = os.fork()
        if not self.pid:
            exit_after(run)
        self._descriptor = os.pidfd_open(self.pid)
        self._status: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, negative after a signal, or None while the process runs."""
        return self.wait(0.0)

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait up to `seconds`, by default without limit, for the end. Return the exit status, None if it runs on."""
        if self._status is None and select.select([self._descriptor], [], [], seconds)[0]:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            os.close(self._descriptor)
        return self._status

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, unless it has ended."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._descriptor, number)


def exit_after(run: Callable[[], object]) -> NoReturn:
    """Run a function in a forked child, then end the process as an interpreter does, without return to the caller."""
    status = _FAILED
    try:
        run()
        status = os.EX_OK
    except SystemExit as error:
        status = _status(error.code)
    except BaseException:  # noqa: BLE001  reported as the interpreter does
        traceback.print_exc()
    finally:
        threading._shutdown()  # type: ignore[attr-defined]  # joins the threads of executors
        atexit._run_exitfuncs()
        os._exit(status)


def _status(code: object) -> int:
    """Return the exit status of a SystemExit, whose text is printed."""
    if code is None or isinstance(code, int):
        return code or os.EX_OK
    print(code, file=sys.stderr)
    return _FAILED
