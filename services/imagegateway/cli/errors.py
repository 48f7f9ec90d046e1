"""Errors that commands report in one sentence."""

from __future__ import annotations


class CommandError(Exception):
    """A command can't do its work. The message says why, and what helps. Exit status 1."""


class UsageError(Exception):
    """Options contradict each other, or lack one. Exit status 2. `command`: whose help explains them."""

    def __init__(self, message: str, command: str) -> None:
        super().__init__(message)
        self.command = command


def sentence_of(error: Exception) -> str | None:
    """Return the message of an error that a user can act on, else None: faults of the program need a traceback."""
    # Imported for errors only: these modules import gRPC and the log library.
    from imagegateway.platform.errors import UnavailableError  # noqa: PLC0415
    from imagegateway.platform.setting_source import SettingError  # noqa: PLC0415
    from imagegateway.stack.errors import StackError  # noqa: PLC0415

    if isinstance(error, OSError) and error.strerror:
        return ": ".join(filter(None, (str(error.filename or ""), error.strerror)))
    return str(error) if isinstance(error, CommandError | SettingError | StackError | UnavailableError) else None
