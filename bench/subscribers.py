"""StreamJob subscribers: `python -m bench.subscribers`, with the job to follow as one JSON line on standard input.

Prints `ready` when every stream has brought the job's present state, then one JSON line when all have its end.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any, Final

import grpc
import uvloop
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import image_service_pb2_grpc as pb_grpc

_STREAMS: Final = 100
"""Streams per connection."""
_OPENING: Final = 50
"""Streams that open concurrently."""


async def _main() -> None:
    order: dict[str, Any] = json.loads(sys.stdin.readline())
    count: int = order["count"]
    metadata = (("authorization", f"Bearer {order['key']}"),)
    options = (("grpc.use_local_subchannel_pool", 1),)
    channels = [
        grpc.aio.insecure_channel(f"unix:{order['socket']}", options=options)
        for _ in range((count + _STREAMS - 1) // _STREAMS)
    ]
    stubs = [pb_grpc.ImageServiceStub(channel) for channel in channels]
    opening, ready = asyncio.Semaphore(_OPENING), asyncio.Event()
    begun, failures = 0, 0
    seen: list[float] = []

    async def one(number: int) -> None:
        nonlocal begun, failures
        try:
            async with opening:
                stream = stubs[number % len(stubs)].StreamJob(
                    pb.StreamJobRequest(job_id=order["job_id"]), metadata=metadata
                )
                events = aiter(stream)
                await anext(events)
            begun += 1
            if begun == count:
                ready.set()
            seen.extend([time.monotonic() async for _ in events])
        except grpc.aio.AioRpcError as error:
            failures += 1
            print(f"subscriber {number}: {error.code()} {error.details()}", file=sys.stderr)
            ready.set()

    streams = [asyncio.create_task(one(number)) for number in range(count)]
    await ready.wait()
    print("ready", flush=True)
    await asyncio.gather(*streams)
    print(json.dumps({"seen": seen, "failures": failures}), flush=True)
    await asyncio.gather(*(channel.close() for channel in channels))


if __name__ == "__main__":
    uvloop.run(_main())
