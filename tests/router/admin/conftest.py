"""A router in this process, called over its UNIX socket as the command line calls it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from imagegateway.admin.v1 import admin_service_pb2 as pb
from imagegateway.admin.v1 import admin_service_pb2_grpc as pb_grpc
from imagegateway.keys.operator_tokens import OperatorTokens
from imagegateway.keys.root_secret import RootSecret
from imagegateway.platform import settings as settings_module
from imagegateway.platform.process import Process
from imagegateway.router import __main__ as router

from tests.jobs.conftest import client, nats
from tests.jobs.server import settings_for, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from google.protobuf.message import Message
    from imagegateway.admin.v1.audit_event_pb2 import AuditEvent
    from imagegateway.platform.settings import Settings

    from tests.jobs.server import Nats

__all__ = ["client", "nats"]


@dataclass(frozen=True, slots=True)
class Refusal(Exception):  # noqa: N818  the outcome of a call, not a fault
    """An error as callers of gRPC read it."""

    code: str
    param: str | None
    message: str


@dataclass(slots=True)
class Admin:
    """Caller of AdminService: a command on the gateway's machine, or the owner of a key."""

    channel: grpc.aio.Channel
    token: str
    request_id: str = "req-of-the-test"

    async def call(self, method: str, request: Message) -> Any:
        """Return the response. Raises Refusal."""
        stub = getattr(pb_grpc.AdminServiceStub(self.channel), method)
        metadata = (("authorization", f"Bearer {self.token}"), ("x-request-id", self.request_id))
        try:
            return await stub(request, metadata=metadata, timeout=20)
        except grpc.aio.AioRpcError as error:
            raise _refusal(error) from None

    async def create_key(self, **fields: Any) -> Any:
        return await self.call("CreateKey", pb.CreateKeyRequest(**{"tenant": "acme", **fields}))

    async def events(self, **filters: str) -> list[AuditEvent]:
        """Return all audit events before this call, newest first."""
        found: list[AuditEvent] = []
        token = ""
        while True:
            request = pb.ListAuditEventsRequest(page_token=token, page_size=100, **filters)
            page = await self.call("ListAuditEvents", request)
            found += page.data
            token = page.next_page_token
            if not token:
                return [event for event in found if event.method != "ListAuditEvents"]


def _refusal(error: grpc.aio.AioRpcError) -> Refusal:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert status is not None, error
    code, param = "", None
    for detail in status.details:
        info, fields = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            code = info.reason.lower()
        elif detail.Unpack(fields):
            param = fields.field_violations[0].field
    return Refusal(code, param, error.details() or "")


@pytest.fixture
def gateway(nats: Nats, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the settings of a router on the NATS server of the test. No Envoy needs time for its last requests."""
    found = settings_for(nats.settings.data_dir, NATS_URL=nats.settings.nats_address())
    monkeypatch.setattr(settings_module, "current", lambda: found)
    monkeypatch.setattr(router, "LINGER", 0.0)
    return found


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Admin]:
    """Run a router, and yield an operator on its machine."""
    process = Process("router-0")
    serving = asyncio.create_task(router.main(process, 0))
    try:
        await until(lambda: settings.socket("router-0").exists() or serving.done())
        token = OperatorTokens(RootSecret.load(settings)).sign("ada")
        async with grpc.aio.insecure_channel(f"unix:{settings.socket('router-0')}") as channel:
            yield Admin(channel, token)
    finally:
        process.request_stop()
        await serving


@pytest.fixture
async def admin(gateway: Settings) -> AsyncIterator[Admin]:
    """Yield an operator on the machine of a running router."""
    async with running(gateway) as operator:
        yield operator
