"""A stack with settings that do not affect each other, its secrets in files, and its way out through a proxy.

It starts on the data directory of version 0.1, which settings do not affect, either.
"""

from __future__ import annotations

import asyncio
import secrets
import tarfile
import threading
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.emulators.openai import OpenAI
from tests.outbound.proxy_server import proxy_server
from tests.support.stack import free_port, short_folder, start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.outbound.proxy_server import ProxyServer
    from tests.support.stack import Stack

PROXY_PASSWORD = secrets.token_hex(16)
EARLIER_DATA: Final = Path(__file__).parent / "data" / "gateway-0.1.tar.xz"
ROOT_SECRET: Final = "root secret of version 0.1"


@dataclass(frozen=True, slots=True)
class WayOut:
    """A proxy, and a provider that only the proxy knows by name."""

    proxy: ProxyServer
    provider: OpenAI

    @property
    def base_url(self) -> str:
        """Base URL of the provider."""
        return f"http://provider.test:{self.provider.base.rpartition(':')[2]}"


@dataclass(frozen=True, slots=True)
class SecretFolder:
    """Folder of secrets, one file for each setting."""

    path: Path

    def write(self, name: str, value: str) -> None:
        """Replace the file of a setting as a whole."""
        fresh = self.path / f"{name}.new"
        fresh.write_text(f"{value}\n")
        fresh.rename(self.path / name)

    def settings(self) -> dict[str, str]:
        """Return the settings that name the files."""
        return {f"{file.name}_file": str(file) for file in self.path.iterdir()}


@pytest.fixture(scope="package")
def way_out() -> Iterator[WayOut]:
    """Run a provider and its proxy on a loop of their own."""
    loop, running_servers = asyncio.new_event_loop(), AsyncExitStack()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> WayOut:
        proxy = await running_servers.enter_async_context(proxy_server())
        proxy.names["provider.test"] = "127.0.0.1"
        proxy.credentials = f"gate:{PROXY_PASSWORD}"
        return WayOut(proxy, await running_servers.enter_async_context(OpenAI(key=f"first-{secrets.token_hex(16)}")))

    try:
        yield asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    finally:
        asyncio.run_coroutine_threadsafe(running_servers.aclose(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="package")
def secret_folder(tmp_path_factory: pytest.TempPathFactory, way_out: WayOut) -> SecretFolder:
    folder = SecretFolder(tmp_path_factory.mktemp("secrets"))
    folder.write("api_key", f"key-{secrets.token_hex(16)}")
    folder.write("openai_api_key", way_out.provider.key)
    folder.write("egress_proxy", f"http://gate:{PROXY_PASSWORD}@{way_out.proxy.address}")
    return folder


@pytest.fixture(scope="package")
def configured(secret_folder: SecretFolder, way_out: WayOut) -> Iterator[Stack]:
    """Yield a stack with a separate listener for administration, two slots per tenant, and short inline waits.

    Its secrets are in files, and it reaches `openai/…` models through a proxy.
    """
    with short_folder() as folder:
        with tarfile.open(EARLIER_DATA) as archive:
            archive.extractall(folder, filter="data")
        stack = start(
            folder,
            secret_key=ROOT_SECRET,
            admin_listen=f"127.0.0.1:{free_port()}",
            tenant_concurrency="2",
            inline_wait="1",
            openai_base_url=way_out.base_url,
            **secret_folder.settings(),
        )
        try:
            stack.wait_ready()
            stack.key = (secret_folder.path / "api_key").read_text().strip()
            yield stack
        finally:
            stack.stop()
