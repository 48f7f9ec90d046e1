"""Setting sources: raw values from the environment and the settings file, parsed and checked by kind.

No other module reads the environment.
"""

from __future__ import annotations

import os
import sys
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from imagegateway.platform.secret import Secret, SecretFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

E = TypeVar("E", bound=StrEnum)

PREFIX: Final = "IMAGEGATEWAY_"
FILE_SUFFIX: Final = "_FILE"
"""End of the names of settings that name a secret's file."""
_TRUE: Final = {"1", "true", "yes", "on"}
_FALSE: Final = {"", "0", "false", "no", "off"}


class SettingError(ValueError):
    """A setting is missing or malformed. The message contains its name, never a secret value."""


class Source:
    """Source of values: `IMAGEGATEWAY_X` in the environment, else `x = …` in the settings file."""

    def __init__(self, environ: Mapping[str, str], file: Mapping[str, object] | None = None) -> None:
        self._environ = environ
        self._file = file or {}
        self.secret_files: Final[dict[str, SecretFile]] = {}
        """Files of watched secrets that were asked for, by the secrets' names without prefix."""

    @classmethod
    def load(cls) -> Source:
        """Read the environment, and the TOML file that `IMAGEGATEWAY_SETTINGS` names.

        Raises SettingError for an unreadable file and for tables in it.
        """
        name = os.environ.get(PREFIX + "SETTINGS", "")
        environ = dict(os.environ)  # a lookup in os.environ encodes the name
        if not name:
            return cls(environ)
        try:
            file = tomllib.loads(Path(name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:  # ValueError: no TOML, or no UTF-8
            raise SettingError(f"IMAGEGATEWAY_SETTINGS: {error}") from error
        for key, value in file.items():
            if not isinstance(value, str | int | float | bool):
                raise SettingError(f"IMAGEGATEWAY_SETTINGS: {key} must be a string, a number or a boolean")
        return cls(environ, file)

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

    def shared_variable(self, name: str) -> str:
        """Return a variable that all programs share, such as HTTPS_PROXY: lower case precedes upper case."""
        return (self._environ.get(name.lower()) or self._environ.get(name.upper()) or "").strip()

    def secret(self, name: str) -> Secret:
        """Return a secret: IMAGEGATEWAY_X, else the present content of the file that IMAGEGATEWAY_X_FILE names.

        Raises SettingError for both, and for a file that holds no secret.
        """
        file = self._secret_file(name, None)
        return Secret(file.reveal() if file else self.text(name))

    def watched_secret(self, name: str, check: Callable[[str], None] | None = None) -> Secret:
        """Return a secret as `secret` does. Its value follows its file (`imagegateway.platform.secret_files`).

        `check` raises ValueError with a predicate for a value of wrong form.
        """
        file = self.secret_files.get(name) or self._secret_file(name, check)
        if file:
            return self.secret_files.setdefault(name, file)
        value = self.text(name)
        if value and check:
            try:
                check(value)
            except ValueError as error:
                raise SettingError(f"{PREFIX}{name} {error}") from None
        return Secret(value)

    def origin(self, name: str) -> str:
        """Return where a secret comes from, for operators: its setting, with the path of its file; empty if unset."""
        path = self.text(name + FILE_SUFFIX)
        if path:
            return f"{PREFIX}{name}{FILE_SUFFIX}={path}"
        return PREFIX + name if self.text(name) else ""

    def _secret_file(self, name: str, check: Callable[[str], None] | None) -> SecretFile | None:
        path = self.text(name + FILE_SUFFIX)
        if not path:
            return None
        setting = PREFIX + name + FILE_SUFFIX
        if self.text(name):
            raise SettingError(f"{PREFIX}{name} and {setting} are both set: remove one of them")
        try:
            return SecretFile(setting, Path(path), check)
        except OSError as error:
            raise SettingError(f"{setting}: {path} can't be read ({error.strerror})") from None
        except ValueError as error:
            raise SettingError(f"{setting}: {path} {error}") from None

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

    def optional_number(self, name: str, low: float, high: float) -> float | None:
        """Return a number from `low` to `high`, None if unset. Raises SettingError."""
        return self.number(name, low, low, high) if self.text(name) else None

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


def colors() -> bool:
    """Return whether the standard output shows colours: in a capable terminal, unless NO_COLOR declines them."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def environment() -> dict[str, str]:
    """Return a copy of the environment for child processes."""
    return dict(os.environ)


def add_environment(values: Mapping[str, str]) -> None:
    """Set variables of this process and of its child processes."""
    os.environ.update(values)
