"""The gateway's own names, which everything in `deploy/` must use: settings, commands, addresses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from imagegateway import cli
from imagegateway.platform.setting_source import FILE_SUFFIX, PREFIX
from imagegateway.providers.registry import FAMILIES
from imagegateway.providers.setting_names import known_names, secret_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PARTS: Final = ("router", "providers", "media")
"""Parts that `imagegateway run` starts."""
_PROGRAMS: Final = ("imagegateway", "envoy", "nats-server")
"""The gateway's program, and those of packages that it depends on."""
_LISTENING: Final = re.compile(r"tcp://[^/]*:(\d+)")


def unknown_settings(variables: Iterable[str]) -> list[str]:
    """Return the environment variables with our prefix that are no setting's and name no file of a secret."""
    known = known_names() | {f"{name}{FILE_SUFFIX}" for name in secret_names()}
    return [each for each in variables if each.startswith(PREFIX) and each.removeprefix(PREFIX) not in known]


def check_command(words: Sequence[str]) -> None:
    """Raise AssertionError for a command of `deploy/` that the gateway's package lacks."""
    if words[0].endswith("sh"):
        words = words[-1].split()
    started = [words[index:] for index, word in enumerate(words) if word.rpartition("/")[2] in _PROGRAMS]
    assert started, words
    for program, *arguments in started:
        if program.endswith("imagegateway"):
            assert arguments[0] in cli.COMMANDS, arguments
            if arguments[0] == "run":
                assert arguments[1] in PARTS, arguments
                assert set(arguments[2:]) <= FAMILIES.keys(), arguments


def listening_ports(environment: dict[str, str]) -> set[int]:
    """Return the ports that a process with these variables listens on, its side server's included."""
    addresses = [value for name, value in environment.items() if name.endswith("_LISTEN")]
    found = [_LISTENING.fullmatch(each) for each in addresses]
    return {int(match[1]) for match in found if match} | {int(environment[f"{PREFIX}METRICS_PORT"])}
