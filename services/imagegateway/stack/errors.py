"""Errors of the stack's start and operation, with messages for the terminal."""

from __future__ import annotations


class StackError(Exception):
    """The stack can't start or continue."""


class SelfCheckError(StackError):
    """The running stack makes no image.

    `temporary`: the gateway answered 503, so another attempt may succeed.
    """

    def __init__(self, message: str, *, temporary: bool = False) -> None:
        super().__init__(message)
        self.temporary = temporary
