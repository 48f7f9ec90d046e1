"""Any message of the typed methods, over gRPC in this process: an answer or the caller's error, never INTERNAL."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imagegateway.job.v1.job_record_pb2 import JobRecord
from imagegateway.jobs import states
from imagegateway.jobs.idempotency import IdempotencyClaim
from imagegateway.jobs.retention import RetentionPolicies
from imagegateway.jobs.stream import Entry
from imagegateway.keys.api_keys import ApiKey
from imagegateway.keys.root_secret import RootSecret
from imagegateway.keys.tenants import TenantPolicy
from imagegateway.media.decoding import DecodeBudget
from imagegateway.media.signed_links import LinkSigner
from imagegateway.media.store import MediaStore
from imagegateway.outbound.client import Outbound
from imagegateway.outbound.url_guard import UrlGuard
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.readiness import Readiness
from imagegateway.platform.setting_source import Source
from imagegateway.platform.settings import load
from imagegateway.provider.v1 import provider_service_pb2 as provider
from imagegateway.providers.local.family import LocalFamily
from imagegateway.router.body_budget import BodyBudget
from imagegateway.router.catalog import Catalog
from imagegateway.router.image_operations import HoldPolicy, ImageOperations
from imagegateway.router.image_service import ImageService
from imagegateway.router.interceptor import RequestInterceptor
from imagegateway.router.job_lookup import JobLookup
from imagegateway.router.plan_submission import PlanSubmission
from imagegateway.router.request_planner import RequestPlanner
from imagegateway.router.response_memory import ResponseMemory
from imagegateway.router.responses import ResponseBuilder
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import image_service_pb2_grpc as pb_grpc
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.gateway import inputs
from tests.router.budgets import NoBudgets
from tests.router.limits import unlimited
from tests.support.examples import examples
from tests.support.metrics import Added

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from google.protobuf.descriptor import Descriptor
    from imagegateway.providers.catalog import Route

NOW: Final = 1_790_000_000
IMAGE: Final = inputs.data_url(inputs.image_bytes())
TEXTS: Final = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            *("auto", "1024x1024", "64x64", "16:9", "high", "png", "jpeg", "gif", "svg", "url", "b64_json", "vivid"),
            *("local/sketch", "gpt-image-2", "dall-e-3", "openai/gpt-image-2.6-flare", "google/veo-3.1-fast"),
            *(
                "https://a.example/x.png",
                "https://[::1",
                "data:image/png;base64,AA AA",
                IMAGE,
                "x" * 5000,
                "\0\n\x7f",
            ),
        ]
    ),
)
NUMBERS: Final = st.one_of(st.floats(), st.sampled_from([float("nan"), float("inf"), -0.0, 1e308, 5.0]))
BYTES: Final = st.one_of(st.binary(max_size=40), st.sampled_from([inputs.image_bytes(), inputs.mask()]))
SCALARS: Final[dict[int, st.SearchStrategy[Any]]] = {
    FieldDescriptor.TYPE_STRING: TEXTS,
    FieldDescriptor.TYPE_BYTES: BYTES,
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_DOUBLE: NUMBERS,
    FieldDescriptor.TYPE_INT32: st.one_of(st.integers(-(1 << 31), (1 << 31) - 1), st.integers(-2, 20)),
    FieldDescriptor.TYPE_INT64: st.one_of(st.integers(-(1 << 63), (1 << 63) - 1), st.integers(-2, 20)),
    FieldDescriptor.TYPE_ENUM: st.just(0),
}


def fill(message: Any, draw: Any, fields: list[FieldDescriptor], depth: int = 0) -> None:
    """Draw values for all fields of a message."""
    for known in fields:
        if known.message_type is not None and known.message_type.GetOptions().map_entry:
            for key in draw(st.lists(st.text(max_size=70), max_size=3)):
                value = known.message_type.fields_by_name["value"]
                if value.message_type is None:
                    getattr(message, known.name)[key] = draw(SCALARS[value.type])
                elif depth < 4:
                    any_fields(getattr(message, known.name)[key], draw, depth + 1)
        elif known.is_repeated:
            for _ in range(draw(st.integers(0, 3))):
                if known.message_type is None:
                    getattr(message, known.name).append(draw(SCALARS[known.type]))
                else:
                    any_fields(getattr(message, known.name).add(), draw, depth + 1)
        elif known.message_type is not None:
            getattr(message, known.name).SetInParent()
            if depth < 4:
                any_fields(getattr(message, known.name), draw, depth + 1)
        else:
            setattr(message, known.name, draw(SCALARS[known.type]))


def any_fields(message: Any, draw: Any, depth: int = 0) -> None:
    descriptor: Descriptor = message.DESCRIPTOR
    fill(message, draw, draw(st.lists(st.sampled_from(list(descriptor.fields)), max_size=3, unique=True)), depth)


@st.composite
def requests(draw: Any) -> pb.GenerateRequest | pb.EditRequest:
    """Return a valid request with arbitrary values in up to five of its fields."""
    if draw(st.booleans()):
        request: Any = pb.GenerateRequest(model="local/sketch", prompt="a fox")
    else:
        request = pb.EditRequest(model="local/sketch", prompt="a fox", image_content=[inputs.image_bytes()])
    fields = [known for known in request.DESCRIPTOR.fields if known.name != "stream"]
    fill(request, draw, draw(st.lists(st.sampled_from(fields), max_size=5, unique=True)))
    found: pb.GenerateRequest | pb.EditRequest = request
    return found


class LocalEngine:
    """Engine that runs each job of the embedded family at once. Jobs of other families fail."""

    def __init__(self, store: MediaStore) -> None:
        self._family = LocalFamily(store, DecodeBudget(10**8), inputs.image_bytes())

    async def submit(self, record: JobRecord, *, has_idempotency_key: bool = False) -> Entry:
        record = JobRecord.FromString(record.SerializeToString())
        if record.family != "local":
            raise GatewayError(ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE, "No provider is here.")
        state = await self._family.start(provider.StartRequest(job_id=record.id, task=record.task))
        if state.WhichOneof("state") == "running":
            record.state = states.RUNNING
        else:
            record.done.CopyFrom(state.done)
            record.state, record.completed_at = states.COMPLETED, NOW * 1000
        return Entry(1, record)

    async def claim(self, tenant: str, key: str, job_id: str, digest: str) -> IdempotencyClaim:
        return IdempotencyClaim(job_id, digest, mine=True)

    async def last(self, job_id: str) -> Entry | None:
        return None

    async def ended(self, job_id: str, seconds: float) -> Entry | None:
        return None

    def position(self, record: JobRecord) -> int | None:
        return None

    def seal(self, key: str) -> bytes:
        return key.encode()

    def account(self, record: JobRecord, route: Route) -> str:
        return ""


class _Ring:
    async def find(self, secret: str) -> ApiKey:
        return ApiKey(id="k", tenant="t", name="n", created_at=0)

    def note_use(self, key: ApiKey) -> None:
        pass


async def unresolved(host: str, port: int) -> list[str]:
    raise socket.gaierror(socket.EAI_NONAME, "no names here")


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[pb_grpc.ImageServiceAsyncStub]:
    """Serve the typed methods on a local port, without engine and network."""
    source = Source({f"IMAGEGATEWAY_{name}_API_KEY": "k" for name in ("OPENAI", "GOOGLE", "BFL")})
    store = MediaStore.open(folder.as_uri())
    stored: Any = SimpleNamespace(of=lambda _tenant: {})
    unused: Any = None
    engine: Any = LocalEngine(store)
    current, catalog, readiness = load(source), Catalog.load(source), Readiness({})
    responses = ResponseBuilder(
        store,
        LinkSigner(RootSecret("root secret of the tests"), "https://a.example", lambda: NOW),
        lambda: NOW,
        ResponseMemory(1024**3),
    )
    lookup = JobLookup(engine)
    async with Outbound(UrlGuard((), unresolved)) as outbound:
        submission = PlanSubmission(
            submitter=engine,
            budgets=NoBudgets(),
            claims=engine,
            lookup=lookup,
            limiter=unlimited(),
            readiness=readiness,
            sealer=engine,
            provider_keys=stored,
            store=store,
            outbound=outbound,
            catalog=catalog,
            retention=RetentionPolicies(current, TenantPolicy),
            deadline_seconds=60,
        )
        service = ImageService(
            default_models={},
            planner=RequestPlanner(
                settings=current,
                catalog=catalog,
                provider_keys=stored,
                is_open=lambda *_: False,
                readiness=readiness,
                store=store,
                outbound=outbound,
                decode_budget=DecodeBudget(10**8),
            ),
            images=ImageOperations(
                submission=submission,
                budgets=NoBudgets(),
                lookup=lookup,
                watcher=engine,
                positions=engine,
                readiness=readiness,
                responses=responses,
                hold=HoldPolicy(1, hold_for_sdks=False),
            ),
            jobs=unused,
            job_list=unused,
            responses=responses,
            catalog=catalog,
            provider_keys=stored,
        )
        ring: Any = _Ring()
        server = grpc.aio.server(interceptors=[RequestInterceptor(ring, unlimited(), BodyBudget(1024**2))])
        pb_grpc.add_ImageServiceServicer_to_server(service, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield pb_grpc.ImageServiceStub(channel)
        await server.stop(None)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(0.15))
@given(st.lists(st.tuples(requests(), st.booleans()), min_size=10, max_size=10))
async def test_no_field_value_is_an_internal_error(
    tmp_path: Path, drawn: list[tuple[pb.GenerateRequest | pb.EditRequest, bool]]
) -> None:
    async with serving(tmp_path) as stub:
        for request, strict in drawn:
            metadata = [("authorization", "Bearer key"), *([("prefer", "handling=strict")] if strict else [])]
            method: Any = stub.Generate if isinstance(request, pb.GenerateRequest) else stub.Edit
            try:
                await method(request, metadata=metadata, timeout=20)
            except grpc.aio.AioRpcError as error:
                assert error.code() not in {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}, error  # noqa: PT017
                assert error.details()  # noqa: PT017


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
async def test_number_that_no_json_holds_is_named(tmp_path: Path, number: float) -> None:
    request = pb.GenerateRequest(model="local/sketch", prompt="a fox")
    request.provider_options["delay"] = number
    async with serving(tmp_path) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Generate(request, metadata=[("authorization", "Bearer key")], timeout=20)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "provider_options.delay must be a finite number."


async def test_invented_models_and_providers_share_a_series(tmp_path: Path) -> None:
    added = Added()
    async with serving(tmp_path) as stub:
        for number in range(20):
            request = pb.GenerateRequest(model=f"acme/{number}", prompt="a fox")
            metadata = [("authorization", "Bearer key"), (f"x-byok-{number}", "key")]
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.Generate(request, metadata=metadata, timeout=20)
        for alias in ("local/sketch", "LOCAL/Sketch"):
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.Generate(pb.GenerateRequest(model=alias), metadata=[("authorization", "Bearer key")])
    assert added.series("imagegateway_requests_total") == {
        ("Generate", "unknown", "unknown", "404", "model_not_found"): 20,
        ("Generate", "local/sketch", "unknown", "400", "missing_parameter"): 2,
    }
