"""Requests for any model of the catalog over REST and gRPC, and checks of their replies."""

from __future__ import annotations

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import grpc
from google.protobuf.json_format import MessageToDict, ParseDict
from imagegateway.providers import registry
from imagegateway.providers.catalog import Capability
from imagegateway.v1 import image_service_pb2 as pb

from tests.gateway import inputs, rest
from tests.gateway.cases import Failure, reasons
from tests.gateway.jobs import wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagegateway.providers.catalog import Model

    from tests.gateway.jobs.calls import Caller

MODELS: Final[Mapping[str, Model]] = {model.id: model for model in registry.MODELS}
KLEIN: Final = "bfl/flux-2-klein-9b"
"""A model of two routes: cloudflare, then bfl."""
WAIT: Final = {"prefer": "wait=60"}
VIDEOS: Final = "/v1/videos/generations"
INPUT: Final = inputs.image_bytes(96, 64)
MASK: Final = inputs.mask(96, 64)
OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "stability-ai/outpaint": {"left": 64, "creativity": 0.25},
    "stability-ai/search-and-replace": {"search_prompt": "dog"},
    "stability-ai/search-and-recolor": {"select_prompt": "dog"},
    **{
        f"recraft/recraft-v4-styles{suffix}": {"style_id": "11111111-2222-4333-8444-555555555555"}
        for suffix in ("", "-svg", "-pro", "-pro-svg")
    },
}
"""Provider options that a model requires beyond the gateway's fields."""


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """One image or video as the caller received it."""

    data: bytes
    media_type: str
    item: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply of one protocol: a document with its images, or the failure."""

    document: Mapping[str, Any]
    headers: Mapping[str, str]
    images: tuple[ReceivedFile, ...] = ()
    failure: Failure | None = None


def edits(model: Model) -> bool:
    """Return True if a model only edits."""
    return not (model.supports(Capability.TEXT_TO_IMAGE) or model.supports(Capability.TEXT_TO_VIDEO))


def request(model_id: str, **more: Any) -> dict[str, Any]:
    """Return the smallest request for a model; `more` adds or replaces fields."""
    model = MODELS[model_id]
    fields: dict[str, Any] = {"model": model_id}
    if model.prompt_required:
        fields["prompt"] = "a red kite over hills"
    if edits(model):
        image = inputs.data_url(INPUT)
        # A model with a minimum of two declares it; a style, for example, is the second image.
        fields |= {"images": [{"image_url": image}] * 2} if model.max_inputs == 2 else {"image_url": image}
        if model.supports(Capability.MASK):
            fields["mask_url"] = inputs.data_url(MASK)
    if model_id in OPTIONS:
        fields["provider_options"] = dict(OPTIONS[model_id])
    return fields | more


def edit(model_id: str, **more: Any) -> dict[str, Any]:
    """Return the smallest edit for a model: with an image, and a mask where the model accepts one."""
    fields = request(model_id, **more)
    if not edits(MODELS[model_id]):
        fields["image_url"] = inputs.data_url(INPUT)
        if MODELS[model_id].supports(Capability.MASK):
            fields["mask_url"] = inputs.data_url(MASK)
    return fields


def _editing(fields: Mapping[str, Any]) -> bool:
    return "image_url" in fields or "images" in fields


def path(fields: Mapping[str, Any]) -> str:
    if MODELS[fields["model"]].modality == "video":
        return VIDEOS
    return rest.EDITS if _editing(fields) else rest.GENERATIONS


def over_rest(caller: Caller, fields: dict[str, Any], headers: Mapping[str, str] | None = None) -> Reply:
    """Send a request by POST. Fetch the images of a success from their links, or decode them."""
    answer = caller.ask("POST", path(fields), fields, {**WAIT, **(headers or {})})
    received = {name.lower(): value for name, value in answer.headers.items()}
    if answer.status != 200:
        return Reply({}, received, failure=_read_error(answer))
    document = answer.json()
    return Reply(document, received, tuple(_image(caller, item) for item in document["data"]))


def over_grpc(caller: Caller, fields: dict[str, Any], headers: Mapping[str, str] | None = None) -> Reply:
    """Send a request through the typed methods."""
    sent = tuple((name.lower(), value) for name, value in {**WAIT, **(headers or {})}.items())
    metadata = (*wire.metadata(caller), *sent)
    with wire.public(caller) as stub:
        try:
            if _editing(fields):
                edited = ParseDict(fields, pb.EditRequest())
                response, call = stub.Edit.with_call(edited, metadata=metadata, timeout=120)
            else:
                generated = ParseDict(fields, pb.GenerateRequest())
                response, call = stub.Generate.with_call(generated, metadata=metadata, timeout=120)
        except grpc.RpcError as error:
            return Reply({}, _metadata(cast("grpc.Call", error)), failure=wire.failure(error))
    document = MessageToDict(response, preserving_proto_field_name=True)
    return Reply(document, _metadata(call), tuple(_image(caller, item) for item in document["data"]))


def over_both(
    caller: Caller, fields: dict[str, Any], headers: Mapping[str, str] | None = None
) -> tuple[Reply, Reply]:
    """Send a request over REST and gRPC concurrently."""
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(over_rest, caller, fields, headers)
        second = pool.submit(over_grpc, caller, fields, headers)
        return first.result(), second.result()


def _metadata(call: grpc.Call) -> dict[str, str]:
    return {str(name): str(value) for name, value in (*call.initial_metadata(), *call.trailing_metadata())}


def _read_error(answer: rest.Answer) -> Failure:
    rest.assert_no_internals(answer)
    error = answer.error
    meaning = reasons()[str(error["code"])]
    assert (answer.status, error["type"]) == (meaning.http, meaning.type), error
    assert answer.headers["x-should-retry"] == ("false" if meaning.http >= 500 and not meaning.repeat else None)
    return Failure(str(error["message"]), meaning.code, error["param"], answer.headers["retry-after"] is not None)


def _image(caller: Caller, item: Mapping[str, Any]) -> ReceivedFile:
    if "b64_json" in item:
        return ReceivedFile(base64.b64decode(item["b64_json"], validate=True), item["media_type"], item)
    answer = rest.ask(caller.stack, "GET", rest.link(caller.stack, item["url"]), key="")
    assert answer.status == 200, answer.body[:300]
    assert answer.headers["etag"] == f'"{hashlib.sha256(answer.body).hexdigest()}"'
    return ReceivedFile(answer.body, answer.headers.get_content_type(), item)


def assert_described_correctly(image: ReceivedFile, made: set[str]) -> None:
    """Assert that a provider made the bytes and that the reply describes them correctly."""
    assert hashlib.sha256(image.data).hexdigest() in made
    item = image.item
    assert image.media_type == item["media_type"]
    if image.media_type == "video/mp4":
        assert image.data[4:8] == b"ftyp"
    elif image.media_type == "image/svg+xml":
        assert image.data.rstrip().endswith(b"</svg>")
    else:
        decoded = inputs.pixels(image.data)
        assert image.media_type == f"image/{str(decoded.format).lower()}"
        assert (item["width"], item["height"]) == decoded.size


def assert_served_by(said: Reply, route: str) -> None:
    assert said.failure is None, said.failure
    assert said.document["provider"] == said.headers["x-imagegateway-provider"] == route
    assert len(said.images) == 1
