"""Router of the hops: `python -m bench.hops.router SOCKET FORMS PROVIDERS NATS`.

JSON arrives over gRPC, as Envoy's transcoder makes it, at SOCKET, and forms over HTTP at FORMS.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import grpc
import nats
import orjson
import pybase64
import uvloop
from aiohttp import web
from google.api.httpbody_pb2 import HttpBody
from nats.js import api

if TYPE_CHECKING:
    from nats.aio.client import Client

_RECORD: Final = bytes(400)
"""As long as a small job record."""


class _Router:
    def __init__(self, client: Client, channel: grpc.aio.Channel, media: Path) -> None:
        self._client = client
        self._start: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/hops.Providers/Start")
        self._media = media

    async def generate(self, _request: object, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        """Serve a JSON request. The body arrives in one piece, since it is small."""
        fields = orjson.loads(HttpBody.FromString(await context.read()).data)
        answer = await self._image({"prompt": fields["prompt"]}, fields["response_format"])
        body: bytes = HttpBody(content_type="application/json", data=answer).SerializeToString()
        return body

    async def edit(self, request: web.Request) -> web.Response:
        """Serve a form, which is stored and sent on whole."""
        upload = self._media / secrets.token_hex(16)
        with upload.open("wb", buffering=0) as file:
            async for piece in request.content.iter_any():
                file.write(piece)
            os.fsync(file.fileno())
        answer = await self._image({"upload": str(upload)}, "url")
        await asyncio.to_thread(upload.unlink)
        return web.Response(body=answer, content_type="application/json")

    async def _image(self, order: dict[str, str], response_format: str) -> bytes:
        """Write the job, have the image made, write the job's end. Return the response."""
        subject = f"j.{secrets.token_hex(16)}"
        await self._client.request(subject, _RECORD, timeout=10)
        name = await self._start(orjson.dumps(order))
        await self._client.request(subject, _RECORD + name, timeout=10)
        if response_format == "url":
            return orjson.dumps({"data": [{"url": f"http://127.0.0.1/media/{name.decode()}"}]})
        image = await asyncio.to_thread((self._media / name.decode()).read_bytes)
        return b'{"data":[{"b64_json":"%b"}]}' % pybase64.b64encode(image)


async def _receive(_message: object) -> None:
    """Take a message that comes back from the stream."""


async def _main(socket: str, forms: str, providers: str, port: str) -> None:
    client = await nats.connect(f"nats://127.0.0.1:{port}")
    stream = client.jetstream()
    await stream.add_stream(name="JOBS", subjects=["j.*"])
    await client.subscribe("deliveries", cb=_receive)
    await stream.add_consumer(
        "JOBS", api.ConsumerConfig(deliver_subject="deliveries", ack_policy=api.AckPolicy.NONE, mem_storage=True)
    )
    channel = grpc.aio.insecure_channel(f"unix:{providers}")
    router = _Router(client, channel, Path(providers).parent / "media")
    server = grpc.aio.server()
    method: Any = router.generate  # grpc's stubs type the methods of synchronous servers
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Generate": grpc.stream_unary_rpc_method_handler(method)
    }
    service = "imagegateway.v1.RestImageService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    app = web.Application(client_max_size=1 << 30)
    app.router.add_post("/v1/images/edits", router.edit)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.UnixSite(runner, forms).start()
    await server.wait_for_termination()


if __name__ == "__main__":
    Path("/proc/self/comm").write_text("router-0")
    uvloop.run(_main(*sys.argv[1:]))
