"""Serve the router: `python -m services.router [replica number]`."""

from __future__ import annotations

import asyncio
import sys

from imagegateway.v1 import image_service_pb2_grpc, rest_edge_pb2_grpc

from services.common import logs, settings
from services.common.keys import KeyRing, KeyStore
from services.common.links import PURPOSE, Links
from services.common.nats import connect
from services.common.outbound import Outbound
from services.common.secrets import RootSecret
from services.common.server import Server, run
from services.common.store import MediaStore
from services.common.urlguard import Guard
from services.router import edge, service
from services.router.answer import Answers
from services.router.catalog import Catalog
from services.router.families import Families
from services.router.interceptor import Outermost
from services.router.studio import Studio

GRACE = 30.0
"""Seconds that running calls get to end."""


async def main(stop: asyncio.Event, replica: int) -> None:
    """Connect, serve, and on `stop` let running calls end."""
    current = settings.current()
    client = await connect(current, f"router-{replica}")
    keys = await KeyStore.open(client, current.nats_replicas)
    if current.api_key:
        await keys.adopt(current.api_key.reveal(), tenant="default", name="IMAGEGATEWAY_API_KEY")
    ring = KeyRing(keys.kv)
    await ring.start()
    store = MediaStore.open(current.media_url)
    catalog = Catalog.load(current.source)
    outbound = Outbound(Guard(current.allow_hosts))
    families = Families(current, {model.family for model in catalog.models.values()})
    links = Links(RootSecret.load(current).derive(PURPOSE), current.public_url)
    studio = Studio(
        settings=current,
        catalog=catalog,
        store=store,
        outbound=outbound,
        families=families,
        answers=Answers(store, links),
    )
    server = Server(current.socket(f"router-{replica}"), [service.NAME, *edge.NAMES], interceptors=[Outermost(ring)])
    image_service_pb2_grpc.add_ImageServiceServicer_to_server(service.ImageService(studio), server.grpc)
    rest_edge_pb2_grpc.add_RestUploadServiceServicer_to_server(edge.RestUploadService(studio), server.grpc)
    rest_edge_pb2_grpc.add_RestEventServiceServicer_to_server(edge.RestEventService(studio), server.grpc)
    await server.start()
    await stop.wait()
    await server.stop(GRACE)
    await ring.close()
    await asyncio.gather(families.close(), outbound.aclose(), client.close())


if __name__ == "__main__":
    replica = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    logs.configure(settings.current(), f"router-{replica}")
    run(lambda stop: main(stop, replica), "router")
