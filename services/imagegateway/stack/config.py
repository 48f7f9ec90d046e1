"""Configuration of the stack's processes: Envoy, nats-server and supervisord, rendered into `run/`."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imagegateway.platform.private_files import write_private
from imagegateway.platform.setting_source import SettingError
from imagegateway.stack import envoy_config, supervisor
from imagegateway.stack.free_port import free_port
from imagegateway.stack.templates import render

if TYPE_CHECKING:
    from imagegateway.platform.settings import Settings


@dataclass(frozen=True, slots=True)
class StackConfig:
    """Configuration of one running stack."""

    settings: Settings
    nats_port: int
    nats_password: str

    @classmethod
    def create(cls, settings: Settings) -> StackConfig:
        """Choose a free port and a password for the stack's own NATS server."""
        own = {settings.port, settings.metrics_port}
        if settings.admin_listen:
            own.add(settings.admin_listen.port)
        return cls(settings, free_port(own), secrets.token_urlsafe(24))

    @property
    def run_dir(self) -> Path:
        return self.settings.run_dir

    def write(self) -> None:
        """Render all files into `run/`, readable by this user only. Raises SettingError."""
        self._make_run_dir()
        envoy_config.write(self.settings, self.run_dir)
        write_private(self.run_dir / supervisor.CONFIG, render("supervisord.conf.j2", **self._programs()))
        if not self.settings.nats_url:
            self.write_nats()

    def write_nats(self) -> Path:
        """Render the configuration of the stack's own NATS server, and its address for clients. Return its path."""
        self._make_run_dir()
        path = self.run_dir / "nats.conf"
        text = render(
            "nats.conf.j2",
            port=self.nats_port,
            password=self.nats_password,
            store=self.settings.data_dir / "nats",
            log=self.run_dir / "nats.log",
        )
        write_private(path, text)
        address = f"nats://gateway:{self.nats_password}@127.0.0.1:{self.nats_port}"
        write_private(self.run_dir / "nats-url", address)
        return path

    def _make_run_dir(self) -> None:
        self.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)

    def _programs(self) -> dict[str, object]:
        return {
            "socket": self.settings.socket("supervisor"),
            "nats": "" if self.settings.nats_url else binary("nats-server"),
            "envoy": binary("envoy"),
            "threads": min(os.cpu_count() or 1, 4, self.settings.routers),  # a thread serves more than a router
            "routers": self.settings.routers,
        }


def binary(name: str) -> str:
    """Return the path of a program from the Python environment, else from PATH. Raises SettingError."""
    installed = Path(sys.executable).parent / name
    if installed.exists():
        return str(installed)
    found = shutil.which(name)
    if not found:
        raise SettingError(f"{name} is not installed: run `make setup`, or install imagegateway by pip")
    return found
