"""Secrets of the settings: values whose repr hides them, from the environment or from files that may change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_MOST_BYTES: Final = 65_536
"""Largest file of a secret."""


class Secret:
    """String whose repr hides the value."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret('**********')"

    __str__ = __repr__


class SecretFile(Secret):
    """Secret in a file. `reload` replaces the value by the file's; calls that hold the former one keep it."""

    __slots__ = ("_check", "path", "setting")

    def __init__(self, setting: str, path: Path, check: Callable[[str], None] | None = None) -> None:
        """Read the file that `setting`, a full name, names. `check` raises ValueError for a value of wrong form.

        Raises OSError, and ValueError for a file without a secret. No message contains the value.
        """
        super().__init__(_read(path, check))
        self.setting: Final = setting
        self.path: Final = path
        self._check = check

    def reload(self) -> bool:
        """Read the file again. Return whether its value changed. On the errors of the constructor, keep the value."""
        fresh = _read(self.path, self._check)
        changed = fresh != self._value
        self._value = fresh
        return changed


def _read(path: Path, check: Callable[[str], None] | None) -> str:
    """Return a file's text without white space around it. Raises OSError and ValueError."""
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError(f"is larger than {_MOST_BYTES} bytes")
    try:
        value = content.decode().strip()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    if not value:
        raise ValueError("is empty")
    if check:
        check(value)
    return value
