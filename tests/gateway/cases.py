"""Cases of `tests/cases/*.toml`: a request and its expected response, run over both REST and gRPC.

A case file holds `[[case]]` tables: `name`, `operation` (`generate` or `edit`), `request` (the fields of api.md),
optional `headers` (metadata over gRPC) and `expect`. Strings of a request that begin with `$` are made here:
`$repeat:a:4001` is 4001 letters, `$png:64x48`, `$jpeg:64x48`, `$webp:64x48`, `$mask:64x48`, `$clear:64x48` (one
colour declared transparent) and `$turned:64x48` (on its side, with an EXIF orientation) are images as data URLs,
`$broken` is one that ends early.
"""

from __future__ import annotations

import base64
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import grpc
from google.protobuf.json_format import MessageToDict, ParseDict
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import image_service_pb2_grpc as pb_grpc

from tests.gateway import inputs, rest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.support.stack import Stack

FOLDER: Final = Path(__file__).resolve().parents[1] / "cases"
DOMAIN: Final = "imagegateway"
_VOLATILE: Final = ("created", "id")
_CHANNEL: Final = (("grpc.max_receive_message_length", -1), ("grpc.enable_retries", 0))


@dataclass(frozen=True, slots=True)
class Case:
    """One request and its expected response."""

    name: str
    operation: str
    request: Mapping[str, Any]
    expect: Mapping[str, Any]
    """Of an error: `status`, `code`, `param`, `message` (a part of it). Otherwise names that `check_images` knows."""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReasonContract:
    """An entry of `reasons.toml`: the contract of one error code."""

    code: str
    http: int
    type: str
    grpc: str
    wait: bool = False
    """The response has a retry-after header."""
    repeat: bool = False
    """A 5xx after which a repeat is never billed twice."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as callers of both protocols read it."""

    message: str
    code: str
    param: str | None
    waits: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """The response of one protocol: a success without its volatile fields, or the failure."""

    document: Mapping[str, Any] | None
    failure: Failure | None
    images: Sequence[bytes] = ()


def load(*names: str) -> list[Case]:
    """Return the cases of these files."""
    files = [tomllib.loads((FOLDER / f"{name}.toml").read_text()) for name in names]
    return [Case(**case) for file in files for case in file["case"]]


def reasons() -> dict[str, ReasonContract]:
    """Return the entries of `reasons.toml` by code."""
    rows = tomllib.loads((FOLDER / "reasons.toml").read_text())["reason"]
    return {row["code"]: ReasonContract(**row) for row in rows}


def expand(value: Any) -> Any:
    """Return a request with its generated strings filled in."""
    if isinstance(value, dict):
        return {name: expand(item) for name, item in value.items()}
    if isinstance(value, list):
        return [expand(item) for item in value]
    if not isinstance(value, str) or not value.startswith("$"):
        return value
    kind, *parts = value[1:].split(":")
    if kind == "repeat":
        return parts[0] * int(parts[1])
    if kind == "broken":
        return inputs.data_url(inputs.image_bytes()[:-20])
    width, height = map(int, parts[0].split("x"))
    special = {"mask": inputs.mask, "clear": inputs.clear, "turned": inputs.turned}.get(kind)
    return inputs.data_url(special(width, height) if special else inputs.image_bytes(width, height, kind.upper()))


def run(stack: Stack, case: Case) -> Outcome:
    """Run a case over both protocols. Check that they agree and that the response is the expected one."""
    request = expand(case.request)
    over_rest = _rest(stack, case, request)
    over_grpc = _native(stack, case, request)
    assert over_rest.failure == over_grpc.failure
    assert _comparable(over_rest, request) == _comparable(over_grpc, request)
    if "code" in case.expect:
        _check_failure(case, over_rest)
    else:
        assert over_rest.failure is None, over_rest.failure
        check_images(over_rest, case.expect)
    return over_rest


def channel(stack: Stack) -> grpc.Channel:
    """Return a channel to the public port."""
    return grpc.insecure_channel(stack.address, options=_CHANNEL)


def authorization(stack: Stack) -> tuple[str, str]:
    return "authorization", f"Bearer {stack.key}"


def _rest(stack: Stack, case: Case, request: dict[str, Any]) -> Outcome:
    path = rest.EDITS if case.operation == "edit" else rest.GENERATIONS
    answer = rest.ask(stack, "POST", path, request, case.headers)
    if answer.status != 200:
        return Outcome(None, _read_error(answer))
    document = answer.json()
    made = []
    for item in document["data"]:
        if "url" in item:
            made.append(rest.ask(stack, "GET", rest.link(stack, item["url"]), key="").body)
        else:
            made.append(base64.b64decode(item["b64_json"], validate=True))
    return Outcome(document, None, made)


def _read_error(answer: rest.Answer) -> Failure:
    rest.assert_no_internals(answer)
    error = answer.error
    meaning = reasons()[str(error["code"])]
    assert (answer.status, error["type"]) == (meaning.http, meaning.type)
    assert answer.headers["x-should-retry"] == ("false" if meaning.http >= 500 and not meaning.repeat else None)
    waits = answer.headers["retry-after"]
    assert waits is None or int(waits) >= 1
    return Failure(str(error["message"]), str(error["code"]), error["param"], waits is not None)


def _native(stack: Stack, case: Case, request: dict[str, Any]) -> Outcome:
    metadata = (authorization(stack), *((name.lower(), value) for name, value in case.headers.items()))
    with channel(stack) as connection:
        stub = pb_grpc.ImageServiceStub(connection)
        try:
            if case.operation == "edit":
                response = stub.Edit(ParseDict(request, pb.EditRequest()), metadata=metadata, timeout=60)
            else:
                response = stub.Generate(ParseDict(request, pb.GenerateRequest()), metadata=metadata, timeout=60)
        except grpc.RpcError as error:
            return Outcome(None, read_status(error))
    return Outcome(MessageToDict(response, preserving_proto_field_name=True), None)


def read_status(error: grpc.RpcError) -> Failure:
    """Return the details of a gRPC error, after checking that they are complete and agree with its code."""
    call = cast("grpc.Call", error)
    status = rpc_status.from_call(call)
    assert status is not None, error
    found: dict[str, Any] = {}
    for detail in status.details:
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo):
            if detail.Is(kind.DESCRIPTOR):
                assert kind.__name__ not in found, "one detail of each type"
                found[kind.__name__] = kind.FromString(detail.value)
    info = found["ErrorInfo"]
    assert info.domain == DOMAIN
    assert info.reason == info.reason.upper()
    assert call.code().name == reasons()[info.reason.lower()].grpc
    param = None
    if "BadRequest" in found:
        (violation,) = found["BadRequest"].field_violations
        assert violation.description == status.message
        param = violation.field
    if "RetryInfo" in found:
        assert found["RetryInfo"].retry_delay.ToTimedelta().total_seconds() > 0
    return Failure(status.message, info.reason.lower(), param, "RetryInfo" in found)


_JOB_SUFFIX: Final = re.compile(r"-[0-9a-f]{16}/")


def _comparable(outcome: Outcome, request: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the document without fields that differ between calls. With a seed, the bytes must be equal."""
    if outcome.document is None:
        return None
    document = {name: value for name, value in outcome.document.items() if name not in _VOLATILE}
    document["data"] = [_comparable_image(item, seeded="seed" in request) for item in document["data"]]
    return document


def _comparable_image(item: Mapping[str, Any], *, seeded: bool) -> Mapping[str, Any]:
    # The link's path holds the file's SHA-256 and a suffix of the job; the rest of it, the time.
    kept = dict(item)
    if "url" in item:
        kept["url"] = _JOB_SUFFIX.sub("/", item["url"].partition("?")[0])
    if not seeded:
        kept |= dict.fromkeys({"seed", "url", "b64_json"} & set(kept), "")
    return kept


def _check_failure(case: Case, outcome: Outcome) -> None:
    assert outcome.failure is not None, "a failure was expected"
    meaning = reasons()[case.expect["code"]]
    assert case.expect["status"] == meaning.http
    assert outcome.failure.code == meaning.code
    assert outcome.failure.param == case.expect.get("param")
    assert re.search(re.escape(case.expect.get("message", "")), outcome.failure.message), outcome.failure.message
    assert outcome.failure.waits == meaning.wait


def check_images(outcome: Outcome, expect: Mapping[str, Any]) -> None:
    """Check a success: `count`, `size`, `media_type`, `form` (url or b64_json), `warnings` as `code:param`, `seeds`,
    `alpha`, `fields` of the answer, and fields that are `absent`. What the answer says of an image must be true of
    its bytes.
    """
    document = outcome.document
    assert document is not None
    assert (document["model"], document["provider"]) == ("local/sketch", "local")
    assert isinstance(document["created"], int)
    assert len(document["data"]) == expect.get("count", 1)
    warned = [f"{warning['code']}:{warning['param']}" for warning in document.get("warnings", [])]
    assert warned == expect.get("warnings", [])
    for name, value in expect.get("fields", {}).items():
        assert document[name] == value, name
    assert not set(expect.get("absent", [])) & set(document)
    if "seeds" in expect:
        assert [item["seed"] for item in document["data"]] == expect["seeds"]
    for item, data in zip(document["data"], outcome.images, strict=True):
        assert expect.get("form", "url") in item
        decoded = inputs.pixels(data)
        assert (item["width"], item["height"]) == decoded.size
        assert item["media_type"] == f"image/{str(decoded.format).lower()}" == expect.get("media_type", "image/png")
        assert document["size"] == f"{decoded.width}x{decoded.height}" == expect.get("size", document["size"])
        assert decoded.has_transparency_data == expect.get("alpha", False)
