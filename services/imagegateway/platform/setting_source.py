"""Setting sources: raw values from the environment and the settings file, parsed and checked by kind.

No other module reads the environment.
"""

from __future__ import annotations

import os
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

E = TypeVar("E", bound=StrEnum)

PREFIX: Final = "IMAGEGATEWAY_"
_TRUE: Final = {"1", "true", "yes", "on"}
_FALSE: Final = {"", "0", "false", "no", "off"}


class SettingError(ValueError):
    """A setting is missing or malformed. The message contains its name, never a secret value."""


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


class Source:
    """Source of values: `IMAGEGATEWAY_X` in the environment, else `x = …` in the settings file."""

    def __init__(self, environ: Mapping[str, str], file: Mapping[str, object] | None = None) -> None:
        self._environ = environ
        self._file = file or {}

    @classmethod
    def load(cls) -> Source:
        """Read the environment, and the TOML file that `IMAGEGATEWAY_SETTINGS` names.

        Raises SettingError for an unreadable file and for tables in it.
        """
        name = os.environ.get(PREFIX + "SETTINGS", "")
        if not name:
            return cls(os.environ)
        try:
            file = tomllib.loads(Path(name).read_text())
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise SettingError(f"IMAGEGATEWAY_SETTINGS: {error}") from error
        for key, value in file.items():
            if not isinstance(value, str | int | float | bool):
                raise SettingError(f"IMAGEGATEWAY_SETTINGS: {key} must be a string, a number or a boolean")
        return cls(os.environ, file)

    def names(self) -> list[tuple[str, str]]:
        """Return each setting that is present: its name without prefix, and its name as written."""
        environment = [(name.removeprefix(PREFIX), name) for name in self._environ if name.startswith(PREFIX)]
        return environment + [(name.upper(), name) for name in self._file]

    def text(self, name: str, default: str = "") -> str:
        """Return a value without blanks around it."""
        value = self._environ.get(PREFIX + name)
        if value is None:
            value = str(self._file.get(name.lower(), default))
        return value.strip()

    def secret(self, name: str) -> Secret:
        """Return a secret value."""
        return Secret(self.text(name))

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """Return a number from `low` to `high`. Raises SettingError."""
        text = self.text(name, str(default))
        try:
            value = float(text)
        except ValueError:
            raise SettingError(f"{PREFIX}{name} must be a number, not {text!r}") from None
        if not low <= value <= high:
            raise SettingError(f"{PREFIX}{name} must be from {low:g} to {high:g}, not {text}")
        return value

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """Return an integer from `low` to `high`. Raises SettingError."""
        value = self.number(name, default, low, high)
        if value != int(value):
            raise SettingError(f"{PREFIX}{name} must be a whole number, not {value:g}")
        return int(value)

    def numbers(self, name: str, default: tuple[float, ...], high: float, most: int) -> tuple[float, ...]:
        """Return at most `most` numbers from 0 to `high`, separated by commas. Raises SettingError."""
        text = self.text(name)
        try:
            values = tuple(float(part) for part in text.split(",")) if text else default
        except ValueError:
            raise SettingError(f"{PREFIX}{name} must be numbers with commas, not {text!r}") from None
        if len(values) > most:
            raise SettingError(f"{PREFIX}{name} must be at most {most} numbers, not {len(values)}")
        if not all(0 <= value <= high for value in values):
            raise SettingError(f"{PREFIX}{name} must be from 0 to {high:g}, not {text}")
        return values

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a boolean. Raises SettingError."""
        text = self.text(name, str(default)).lower()
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
        raise SettingError(f"{PREFIX}{name} must be true or false, not {text!r}")

    def choice(self, name: str, default: E) -> E:
        """Return a member of the default's enum, by its value in any case. Raises SettingError."""
        text = self.text(name, default).lower()
        try:
            return type(default)(text)
        except ValueError:
            raise SettingError(f"{PREFIX}{name} must be one of {', '.join(type(default))}, not {text!r}") from None


def data_dir(source: Source) -> Path:
    """Return the data directory of the gateway on this machine."""
    return Path(source.text("DATA_DIR", ".data")).absolute()


def user_config_dir() -> Path:
    """Return the folder of this user's configuration files, by the XDG Base Directory Specification."""
    home = os.environ.get("XDG_CONFIG_HOME", "")
    return Path(home) if home.startswith("/") else Path.home() / ".config"


def colors_allowed() -> bool:
    """Return False if the user declines colours (https://no-color.org) or the terminal shows no colours."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def environment() -> dict[str, str]:
    """Return a copy of the environment for child processes."""
    return dict(os.environ)
