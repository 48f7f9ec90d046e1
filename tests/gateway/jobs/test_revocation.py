"""Revocation of a key during its calls: each call ends within seconds, with the reason."""

from __future__ import annotations

import asyncio
import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Event
from typing import TYPE_CHECKING, Any

import grpc
from imagegateway.keys.api_keys import fingerprint
from imagegateway.keys.key_store import KeyStore
from imagegateway.keys.root_secret import RootSecret
from imagegateway.platform import setting_source, settings
from imagegateway.platform.nats import connect
from imagegateway.v1 import image_service_pb2 as pb

from tests.gateway.inputs import FORM, file_part, form, image_bytes
from tests.gateway.jobs import sse, wire
from tests.gateway.rest import EDITS, GENERATIONS, JSON, SMALL, assert_error
from tests.support.stack import eventually

if TYPE_CHECKING:
    from tests.gateway.jobs.calls import Caller

WITHIN = 15.0
"""Seconds until all calls of a revoked key end, on a busy machine."""
OPTIONS = {"delay": 24}
"""Image stream whose first partial image arrives after 6 s, and its image after 24 s."""


async def revoke(caller: Caller) -> None:
    """Revoke the caller's key as the command does."""
    values = {f"{setting_source.PREFIX}{name.upper()}": value for name, value in caller.stack.values.items()}
    current = settings.load(setting_source.Source(values))
    client = await connect(current, "test")
    try:
        store = await KeyStore.open(client, 1, RootSecret.load(current, make=False))
        assert await store.revoke(fingerprint(caller.key)[:12])
    finally:
        await client.close()


def job_events(caller: Caller, job_id: str, begun: Event) -> dict[str, Any]:
    """Read a job's server-sent events to the stream's end; return the last one's data."""
    last: dict[str, Any] = {}
    with sse.open_stream(caller, job_id) as stream:
        for event in stream:
            begun.set()
            last = event.data
    return last


def job_messages(caller: Caller, job_id: str, begun: Event) -> grpc.StatusCode:
    """Read a job's events over gRPC to the stream's end; return its status."""
    with wire.public(caller) as stub:
        stream = stub.StreamJob(pb.StreamJobRequest(job_id=job_id), metadata=wire.metadata(caller), timeout=60)
        try:
            for _ in stream:
                begun.set()
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
    return grpc.StatusCode.OK


def image_events(caller: Caller, path: str, body: bytes, headers: dict[str, str], begun: Event) -> dict[str, Any]:
    """Read an image stream to its end; return the last event's data."""
    last: dict[str, Any] = {}
    with closing(http.client.HTTPConnection("127.0.0.1", caller.stack.port, timeout=60)) as connection:
        connection.request("POST", path, body, {"authorization": f"Bearer {caller.key}", **headers})
        response = connection.getresponse()
        while line := response.readline():
            begun.set()
            if line.startswith(b"data: "):
                last = json.loads(line.removeprefix(b"data: "))
    return last


def test_open_calls_end_within_seconds_of_their_keys_revocation(fresh: Caller, stranger: Caller) -> None:
    job_id, others_id = fresh.submit(delay=60), stranger.submit(delay=60)
    generation = json.dumps({**SMALL, "stream": True, "partial_images": 3, "provider_options": OPTIONS}).encode()
    fields = {"prompt": "at night", "stream": "true", "partial_images": "3", "provider_options": json.dumps(OPTIONS)}
    upload = form(file_part("image", image_bytes()), **fields)
    begun = [Event() for _ in range(5)]
    with ThreadPoolExecutor(8) as pool:
        followed = pool.submit(job_events, fresh, job_id, begun[0])
        over_grpc = pool.submit(job_messages, fresh, job_id, begun[1])
        generated = pool.submit(image_events, fresh, GENERATIONS, generation, dict(JSON), begun[2])
        edited = pool.submit(image_events, fresh, EDITS, upload, dict(FORM), begun[3])
        polled = pool.submit(fresh.ask, "GET", f"/v1/jobs/{job_id}", None, {"prefer": "wait=60"})
        held = pool.submit(fresh.generate, {"prefer": "wait=60"}, provider_options={"delay": 60})
        others = pool.submit(job_events, stranger, others_id, begun[4])
        eventually(lambda: len(fresh.jobs()) == 4, 30, "every call has made its job")
        assert all(each.wait(30) for each in begun)
        asyncio.run(revoke(fresh))
        ended = (followed, generated, edited, over_grpc, polled, held)
        eventually(lambda: all(each.done() for each in ended), WITHIN, "all calls have ended")
        for events in (followed, generated, edited):
            assert events.result()["error"]["code"] == "invalid_api_key"
        assert over_grpc.result() is grpc.StatusCode.UNAUTHENTICATED
        for answer in (polled.result(), held.result()):
            assert_error(answer, 401, "invalid_api_key", kind="authentication_error")
        assert not others.done()
        stranger.cancel(others_id)
        assert others.result()["status"] == "cancelled"
