"""Provider calls: billable calls are sent once, keys reach the provider only, callers' options are passed on."""

from __future__ import annotations

import json
import socket
from itertools import product
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest
from imagegateway.platform.settings import Settings
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.catalog import Capability, Route
from imagegateway.providers.kit.reserved_options import COMMON
from imagegateway.providers.kit.submission import MAX_ATTEMPTS

from tests.providers.contract.api_case import PNG, Response
from tests.providers.contract.api_fixture import (
    FOR_TASKS,
    ApiFixture,
    ScriptedProvider,
    adapter_of,
    submissions,
    verdict,
)
from tests.providers.harness import left_half

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from tests.emulators.base import Sent


@pytest.fixture
async def other_origin() -> AsyncIterator[ScriptedProvider]:
    """Yield a second origin."""
    async with ScriptedProvider() as server:
        yield server


def route_of(api: ApiFixture) -> Route:
    return next(
        route
        for model in api.harness.family.models
        for route in model.routes
        if (model.id, route.name) == (api.case.model, api.case.route)
    )


def time_out_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each request time out after 0.05 s, which no setting allows."""
    monkeypatch.setattr(Settings, "route_timeout", lambda *_: 0.05)


# ---- billable calls are sent once


async def test_silent_provider_times_out_without_retry(api: ApiFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    time_out_soon(monkeypatch)
    api.provider.silent = True
    assert verdict(await api.submit(Response(b""))) == ("provider_timeout", True)
    assert len(api.provider.sent) <= 1


async def test_broken_connection_leaves_the_outcome_unknown(api: ApiFixture) -> None:
    response = api.case.accepted or Response({"a": 1})
    for breaks in ("before", "middle"):
        api.provider.sent.clear()
        api.provider.breaks = breaks
        assert verdict(await api.submit(response)) == ("provider_outcome_unknown", True), breaks
        assert len(api.provider.sent) == 1, breaks


async def test_unreachable_provider_is_retried(api: ApiFixture) -> None:
    await api.provider.stop()
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", int(api.provider.base.rpartition(":")[2])))  # nothing listens there
        assert verdict(await api.submit(Response(b""))) == ("provider_unavailable", False)
    assert len(api.harness.slept) == 3


@FOR_TASKS
@pytest.mark.parametrize("fault", ["silent", "before", "middle"])
async def test_failed_poll_does_not_end_the_task(
    api: ApiFixture, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert api.case.accepted
    api.provider.script = [api.case.accepted, api.case.working[0]]
    task = api.task()
    state = await api.harness.family.start(pb.StartRequest(job_id="job_test", task=task))
    time_out_soon(monkeypatch)
    api.provider.silent, api.provider.breaks = fault == "silent", fault if fault != "silent" else ""
    request = pb.PollRequest(job_id="job_test", task_ref=state.running.task_ref, task=task)
    polled = await api.harness.family.poll(request)
    assert json.loads(polled.running.task_ref) == json.loads(state.running.task_ref)
    assert len(submissions(api)) == 1


async def test_server_error_is_retried_at_most_once_and_only_if_uncharged(api: ApiFixture) -> None:
    self_hosted = api.case.route == "automatic1111"  # unbilled, and retried only while it loads its model
    named = {"detail": "oops", "name": "server_error", "error": {"message": "oops"}}
    for status, body in product([500, 501, 502, 503, 504, 520, 529], [None, named]):
        api.provider.sent.clear()
        state = await api.submit(Response(body or b"", status))
        free = api.case.free(status, body)
        assert state.failed.may_be_billed == (not free), (status, body)
        calls = (MAX_ATTEMPTS if status == 503 else 1) if self_hosted else 1 + free
        assert len(submissions(api)) == calls, (status, body)


async def test_each_of_several_images_is_billed_once(api: ApiFixture) -> None:
    """The route makes as many calls as it needs; images that a response lacks are missing and not requested again."""
    if api.case.accepted:
        return  # one script can't answer several tasks
    api.provider.script = list(api.case.ends["done"].responses)
    state = await api.harness.run(api.task(n=2))
    each = route_of(api).max_images_per_call or adapter_of(api.case).max_images_per_call
    assert len(submissions(api)) == (1 if each > 1 else 2)
    assert len(state.done.artifacts) + len(state.done.missing) == 2


# ---- keys


async def test_key_is_sent_with_calls_and_not_with_downloads(api: ApiFixture, other_origin: ScriptedProvider) -> None:
    api.provider.results = other_origin.base
    state = await api.run(*api.case.ends["done"].responses)
    assert state.HasField("done")
    key = api.provider.key
    assert all(key in str(sent.headers) for sent in api.provider.calls)
    assert not any(key in f"{sent.path} {sent.query}" for sent in api.provider.sent)
    assert not any(key in f"{sent.headers} {sent.query}" for sent in other_origin.sent)


async def test_caller_key_replaces_the_operator_key(api: ApiFixture) -> None:
    api.provider.script = api.case.script(*api.case.ends["done"].responses)
    state = await api.harness.run(api.task(), credential="key-of-the-caller")
    assert state.HasField("done")
    assert all("key-of-the-caller" in str(sent.headers) for sent in api.provider.calls)
    assert not any(api.provider.key in str(sent.headers) for sent in api.provider.sent)


async def test_redirect_does_not_receive_the_key(api: ApiFixture, other_origin: ScriptedProvider) -> None:
    other_origin.script = [Response({"ok": True})]
    for status in (301, 302, 303, 307, 308):
        redirect = Response(b"", status, {"location": f"{other_origin.base}/v1/steal"})
        assert (await api.submit(redirect)).HasField("failed"), status
        if api.case.accepted:
            await api.run(redirect, *api.case.ends["done"].responses)
        assert other_origin.sent == [], status


@FOR_TASKS
async def test_foreign_url_in_a_response_never_receives_the_key(
    api: ApiFixture, other_origin: ScriptedProvider
) -> None:
    """A response can name URLs to poll and to cancel; on another origin these are called without the key."""
    accepted = api.case.accepted
    assert accepted
    if "<base>" not in json.dumps(accepted.body):
        return
    moved = Response(json.loads(json.dumps(accepted.body).replace("<base>", other_origin.base)), accepted.status)
    other_origin.script = list(api.case.ends["done"].responses)
    api.provider.script = [moved]
    task = api.task()
    await api.harness.run(task, polls=3, patient=True)
    assert not any(api.provider.key in f"{sent.headers} {sent.query}" for sent in other_origin.sent)


# ---- callers' options


async def test_caller_options_are_sent_in_addition_to_gateway_fields(api: ApiFixture) -> None:
    api.provider.script = api.case.script(*api.case.ends["done"].responses)
    await api.harness.run(api.task(provider_options=api.case.options))
    (sent,) = submissions(api)[:1]
    fields = set(_flat(_body(sent)))
    under = f"{api.case.under}." if api.case.under else ""
    assert {(under + name, str(value)) for name, value in _flat(api.case.options)} <= fields
    names = [name for name, _ in _flat(_body(sent))]
    assert len(names) == len(set(names)), "each field is sent once"


async def test_reserved_option_is_refused_before_anything_is_sent(api: ApiFixture) -> None:
    api.provider.script = api.case.script(*api.case.ends["done"].responses)
    for path, strict in product(sorted(COMMON | route_of(api).reserved_options), [False, True]):
        for options, param in _spellings(path):
            state = await api.harness.run(api.task(provider_options=options, strict=strict))
            assert verdict(state) == ("unsupported_parameter", False), options
            assert state.failed.param == f"provider_options.{param}"
    assert api.provider.sent == []


def _spellings(path: tuple[str, ...]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield options that name a reserved path, each with the name that the error must report."""
    nested: dict[str, Any] = {path[-1]: "theirs"}
    for step in reversed(path[:-1]):
        nested = {step: nested}
    yield nested, ".".join(path)
    for flat in (".".join(path), ".".join(path).upper(), f"{path[0]}{''.join(f'[{step}]' for step in path[1:])}[0]"):
        yield {flat: "theirs"}, flat
    if len(path) > 1:
        yield {path[0]: "an object's place"}, path[0]


async def test_option_cannot_replace_a_field_of_the_gateway(api: ApiFixture) -> None:
    """For a request with every option of the model, no provider option replaces a sent field, except defaults."""
    await _send_complete(api)
    (sent,) = submissions(api)[:1]
    body = _body(sent)
    gateway = body.get(api.case.under, body) if api.case.under else body
    files = {part.name for part in sent.parts if part.filename is not None}
    names = {_step(name) for name, _ in _flat(gateway)} | files
    assert names
    for name in sorted(names - api.case.defaults):
        api.provider.sent.clear()
        state = await _send_complete(api, provider_options=_nested(name.split("."), "theirs"))
        assert verdict(state) == ("unsupported_parameter", False), name
        assert api.provider.sent == [], name


async def _send_complete(api: ApiFixture, **fields: Any) -> pb.TaskState:
    """Run a task with every option that its model supports, with inputs and a mask for edits."""
    model = next(model for model in api.harness.family.models if model.id == api.case.model)
    requested: dict[str, Any] = {"width": 1024, "height": 1024, "output_format": model.output_formats[0]}
    if model.supports(Capability.SEED):
        requested["seed"] = 5
    if model.supports(Capability.NEGATIVE_PROMPT):
        requested["negative_prompt"] = "rain"
    if model.qualities:
        requested["quality"] = model.qualities[0]
    if model.styles:
        requested["style"] = model.styles[0]
    if model.max_inputs and not model.supports(Capability.TEXT_TO_VIDEO):
        requested["inputs"] = [await api.harness.keep(PNG)]
    if model.supports(Capability.MASK):
        requested["mask"] = await api.harness.keep(left_half(16, 16))
    api.provider.script = api.case.script(*api.case.ends["done"].responses)
    return await api.harness.run(api.task(**requested, moderation="low", **fields))


def _step(name: str) -> str:
    """Return a flattened name up to the first index of a list."""
    steps = name.split(".")
    end = next((at for at, step in enumerate(steps) if step.isdecimal()), len(steps))
    return ".".join(steps[:end])


def _nested(steps: list[str], value: Any) -> dict[str, Any]:
    return {steps[0]: _nested(steps[1:], value) if steps[1:] else value}


def _body(sent: Sent) -> Mapping[str, Any]:
    if sent.parts:
        return {f"{part.name}": part.text for part in sent.parts if part.filename is None}
    if sent.headers["content-type"] == "application/json":
        body: dict[str, Any] = sent.json
        return body
    return dict(parse_qsl(sent.body.decode()))


def _flat(body: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each value with its path."""
    if isinstance(body, dict):
        for name, value in body.items():
            yield from _flat(value, f"{path}.{name}" if path else str(name))
    elif isinstance(body, list):
        for index, value in enumerate(body):
            yield from _flat(value, f"{path}.{index}")
    else:
        yield path, str(body)


_ALL_OPTIONS: Mapping[str, Any] = {
    "negative_prompt": "rain",
    "quality": "low",
    "style": "vivid",
    "background": "opaque",
    "moderation": "low",
    "output_format": "jpeg",
    "output_compression": 60,
    "seed": 5,
    "width": 1024,
    "height": 1024,
    "user": "u-1",
}


async def test_strict_handling_refuses_by_the_warnings_of_the_request(api: ApiFixture) -> None:
    """All warnings of a finished task are known before its request is sent."""
    api.provider.script = api.case.script(*api.case.ends["done"].responses)
    warned = (await api.harness.run(api.task(**_ALL_OPTIONS))).done.warnings
    before = len(api.provider.sent)
    api.provider.script = api.case.script(*api.case.ends["done"].responses)
    state = await api.harness.run(api.task(**_ALL_OPTIONS, strict=True))
    if warned:
        assert verdict(state) == ("unsupported_parameter", False)
        assert (state.failed.param, state.failed.message) == (warned[0].param, warned[0].message)
        assert len(api.provider.sent) == before
    else:
        assert state.HasField("done")


async def test_strict_handling_refuses_before_the_first_of_several_calls(api: ApiFixture) -> None:
    api.provider.script = api.case.script(*api.case.ends["done"].responses)
    warned = (await api.harness.run(api.task(**_ALL_OPTIONS))).done.warnings
    api.provider.sent.clear()
    state = await api.harness.run(api.task(n=4, **_ALL_OPTIONS, strict=True), polls=0, patient=True)
    if warned:
        assert verdict(state) == ("unsupported_parameter", False)
        assert api.provider.sent == []
    else:
        assert api.provider.sent
