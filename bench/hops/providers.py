"""Providers' server of the hops: `python -m bench.hops.providers SOCKET MEDIA UPSTREAM`."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import orjson
import pybase64
import uvloop


class _Providers:
    def __init__(self, session: aiohttp.ClientSession, media: Path, upstream: str) -> None:
        self._session = session
        self._media = media
        self._upstream = upstream

    async def start(self, request: bytes, _context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        """Call the provider with a prompt or an uploaded file. Return the name of the stored image."""
        order = orjson.loads(request)
        if upload := order.get("upload"):
            path, kind, body = "edits", "multipart/form-data", await asyncio.to_thread(Path(upload).read_bytes)
        else:
            path, kind, body = "generations", "application/json", request
        headers = {"content-type": kind, "authorization": "Bearer none"}
        async with self._session.post(f"{self._upstream}/v1/images/{path}", data=body, headers=headers) as response:
            answer = orjson.loads(await response.read())
        return await asyncio.to_thread(self._store, answer["data"][0]["b64_json"])

    def _store(self, image: str) -> bytes:
        """Flush an image and its name to disk."""
        data = pybase64.b64decode(image)
        name = hashlib.sha256(data).hexdigest() + os.urandom(8).hex()
        with (self._media / f"{name}.new").open("wb", buffering=0) as file:
            file.write(data)
            os.fsync(file.fileno())
        (self._media / f"{name}.new").rename(self._media / name)
        folder = os.open(self._media, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        return name.encode()


async def _main(socket: str, media: str, upstream: str) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        server = grpc.aio.server()
        providers = _Providers(session, Path(media), upstream)
        method: Any = providers.start  # grpc's stubs type the methods of synchronous servers
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "Start": grpc.unary_unary_rpc_method_handler(method)
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("hops.Providers", handlers),))
        server.add_insecure_port(f"unix:{socket}")
        await server.start()
        await server.wait_for_termination()


if __name__ == "__main__":
    Path("/proc/self/comm").write_text("providers")
    uvloop.run(_main(*sys.argv[1:]))
