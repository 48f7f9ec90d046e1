"""How providers are called: what may cost is sent once, keys are shown to nobody else, callers' own words pass."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.catalog import Capability, Route
from imagegateway.providers.kit.reserved_options import COMMON
from imagegateway.providers.kit.submission import MAX_ATTEMPTS

from tests.providers.contract.rows import PNG, Answer
from tests.providers.contract.world import Scripted, World, adapter_of, verdict
from tests.providers.harness import left_half

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from tests.emulators.base import Sent


@pytest.fixture
async def elsewhere() -> AsyncIterator[Scripted]:
    """Another origin."""
    async with Scripted() as server:
        assert isinstance(server, Scripted)
        yield server


def submissions(world: World) -> list[Sent]:
    return [sent for sent in world.provider.calls if sent.method == "POST"]


def route_of(world: World) -> Route:
    return next(
        route
        for model in world.bench.family.models
        for route in model.routes
        if (model.id, route.name) == (world.row.model, world.row.route)
    )


# ---- what may cost is sent once


async def test_provider_that_never_answers_is_given_up_and_not_asked_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter_of(world.row), "timeout_seconds", 0.05)
    world.provider.silent = True
    assert verdict(await world.submit(Answer(b""))) == ("provider_timeout", True)
    assert len(world.provider.sent) <= 1


@pytest.mark.parametrize("breaks", ["before", "middle"])
async def test_connection_that_breaks_leaves_the_outcome_open(world: World, breaks: str) -> None:
    world.provider.breaks = breaks
    answer = world.row.accepted or Answer({"a": 1})
    assert verdict(await world.submit(answer)) == ("provider_outcome_unknown", True)
    assert len(world.provider.sent) == 1


async def test_provider_that_is_not_there_is_tried_again_as_nothing_was_sent(world: World) -> None:
    await world.provider.stop()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(world.provider.base.rpartition(":")[2])))  # nothing listens there
        assert verdict(await world.submit(Answer(b""))) == ("provider_unavailable", False)
    assert len(world.bench.slept) == 3


@pytest.mark.parametrize("trouble", ["silent", "before", "middle"])
async def test_poll_that_breaks_changes_nothing(world: World, trouble: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not world.row.accepted:
        return
    world.provider.script = [world.row.accepted, world.row.working[0]]
    task = world.task()
    state = await world.bench.family.start(pb.StartRequest(job_id="job_test", task=task))
    monkeypatch.setattr(adapter_of(world.row), "timeout_seconds", 0.05)
    world.provider.silent, world.provider.breaks = trouble == "silent", trouble if trouble != "silent" else ""
    request = pb.PollRequest(job_id="job_test", task_ref=state.running.task_ref, task=task)
    again = await world.bench.family.poll(request)
    assert json.loads(again.running.task_ref) == json.loads(state.running.task_ref)
    assert len(submissions(world)) == 1


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 520, 529])
@pytest.mark.parametrize("body", [b"", {"detail": "oops", "name": "server_error", "error": {"message": "oops"}}])
async def test_server_error_is_repeated_once_at_most_and_only_where_it_is_free(
    world: World, status: int, body: Any
) -> None:
    state = await world.submit(Answer(body, status))
    free = world.row.free(status, body if isinstance(body, dict) else None)
    assert state.failed.may_be_billed == (not free)
    own_server = world.row.route == "automatic1111"  # nobody is paid, and only a server that loads is waited for
    calls = (MAX_ATTEMPTS if status == 503 else 1) if own_server else 1 + free
    assert len(submissions(world)) == calls


async def test_several_pictures_are_each_paid_once(world: World) -> None:
    """As many calls as the route needs; what a good answer lacks is missing, and not asked for again."""
    if world.row.accepted:
        return  # one script can't answer several tasks
    world.provider.script = list(world.row.ends["done"].answers)
    state = await world.bench.run(world.task(n=2))
    each = route_of(world).max_images_per_call or adapter_of(world.row).max_images_per_call
    assert len(submissions(world)) == (1 if each > 1 else 2)
    assert len(state.done.artifacts) + len(state.done.missing) == 2


# ---- keys


async def test_key_goes_with_calls_and_not_with_downloads(world: World, elsewhere: Scripted) -> None:
    world.provider.results = elsewhere.base
    state = await world.run(*world.row.ends["done"].answers)
    assert state.HasField("done")
    key = world.provider.key
    assert all(key in str(sent.headers) for sent in world.provider.calls)
    assert not any(key in f"{sent.path} {sent.query}" for sent in world.provider.sent)
    assert not any(key in f"{sent.headers} {sent.query}" for sent in elsewhere.sent)


async def test_callers_own_key_takes_the_operators_place(world: World) -> None:
    world.provider.script = world.row.script(*world.row.ends["done"].answers)
    state = await world.bench.run(world.task(), credential="key-of-the-caller")
    assert state.HasField("done")
    assert all("key-of-the-caller" in str(sent.headers) for sent in world.provider.calls)
    assert not any(world.provider.key in str(sent.headers) for sent in world.provider.sent)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_no_way_to_the_key(world: World, elsewhere: Scripted, status: int) -> None:
    away = Answer(b"", status, {"location": f"{elsewhere.base}/v1/steal"})
    elsewhere.script = [Answer({"ok": True})]
    assert (await world.submit(away)).HasField("failed")
    if world.row.accepted:
        await world.run(away, *world.row.ends["done"].answers)
    assert elsewhere.sent == []


async def test_address_that_an_answer_names_never_sees_the_key(world: World, elsewhere: Scripted) -> None:
    """A provider's answer can name where to poll and to cancel: elsewhere, that is asked without the key."""
    accepted = world.row.accepted
    if accepted is None or "<base>" not in json.dumps(accepted.body):
        return
    moved = Answer(json.loads(json.dumps(accepted.body).replace("<base>", elsewhere.base)), accepted.status)
    elsewhere.script = list(world.row.ends["done"].answers)
    world.provider.script = [moved]
    task = world.task()
    await world.bench.run(task, polls=3, patient=True)
    assert not any(world.provider.key in f"{sent.headers} {sent.query}" for sent in elsewhere.sent)


# ---- what callers say


async def test_callers_own_options_go_beside_ours(world: World) -> None:
    world.provider.script = world.row.script(*world.row.ends["done"].answers)
    await world.bench.run(world.task(provider_options=world.row.options))
    (sent,) = submissions(world)[:1]
    said = set(_flat(_body(sent)))
    under = f"{world.row.under}." if world.row.under else ""
    assert {(under + name, str(value)) for name, value in _flat(world.row.options)} <= said
    names = [name for name, _ in _flat(_body(sent))]
    assert len(names) == len(set(names)), "no field stands there twice"


@pytest.mark.parametrize("strict", [False, True])
async def test_reserved_option_is_refused_before_anything_is_sent(world: World, *, strict: bool) -> None:
    world.provider.script = world.row.script(*world.row.ends["done"].answers)
    for path in sorted(COMMON | route_of(world).reserved_options):
        for options, param in _spellings(path):
            state = await world.bench.run(world.task(provider_options=options, strict=strict))
            assert verdict(state) == ("unsupported_parameter", False), options
            assert state.failed.param == f"provider_options.{param}"
    assert world.provider.sent == []


def _spellings(path: tuple[str, ...]) -> Iterator[tuple[dict[str, Any], str]]:
    """Options that name a reserved path, each with the name that is to be blamed."""
    nested: dict[str, Any] = {path[-1]: "theirs"}
    for step in reversed(path[:-1]):
        nested = {step: nested}
    yield nested, ".".join(path)
    for flat in (".".join(path), ".".join(path).upper(), f"{path[0]}{''.join(f'[{step}]' for step in path[1:])}[0]"):
        yield {flat: "theirs"}, flat
    if len(path) > 1:
        yield {path[0]: "an object's place"}, path[0]


async def test_every_field_of_a_request_is_the_gateways(world: World) -> None:
    """What is sent for a request with all that the model takes can't be replaced by an option, but for defaults."""
    await _send_whole(world)
    (sent,) = submissions(world)[:1]
    body = _body(sent)
    mine = body.get(world.row.under, body) if world.row.under else body
    files = {part.name for part in sent.parts if part.filename is not None}
    names = {_step(name) for name, _ in _flat(mine)} | files
    assert names
    for name in sorted(names - world.row.defaults):
        world.provider.sent.clear()
        state = await _send_whole(world, provider_options=_nested(name.split("."), "theirs"))
        assert verdict(state) == ("unsupported_parameter", False), name
        assert world.provider.sent == [], name


async def _send_whole(world: World, **fields: Any) -> pb.TaskState:
    """Run a task with every option that its model takes; with inputs and a mask where it edits."""
    model = next(model for model in world.bench.family.models if model.id == world.row.model)
    wanted: dict[str, Any] = {"width": 1024, "height": 1024, "output_format": model.output_formats[0]}
    if model.supports(Capability.SEED):
        wanted["seed"] = 5
    if model.supports(Capability.NEGATIVE_PROMPT):
        wanted["negative_prompt"] = "rain"
    if model.qualities:
        wanted["quality"] = model.qualities[0]
    if model.styles:
        wanted["style"] = model.styles[0]
    if model.max_inputs and not model.supports(Capability.TEXT_TO_VIDEO):
        wanted["inputs"] = [await world.bench.keep(PNG)]
    if model.supports(Capability.MASK):
        wanted["mask"] = await world.bench.keep(left_half(16, 16))
    world.provider.script = world.row.script(*world.row.ends["done"].answers)
    return await world.bench.run(world.task(**wanted, moderation="low", **fields))


def _step(name: str) -> str:
    """A flattened name up to the first index of a list."""
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
    """Every value with its path."""
    if isinstance(body, dict):
        for name, value in body.items():
            yield from _flat(value, f"{path}.{name}" if path else str(name))
    elif isinstance(body, list):
        for index, value in enumerate(body):
            yield from _flat(value, f"{path}.{index}")
    else:
        yield path, str(body)


_WISHES: Mapping[str, Any] = {
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


async def test_warnings_come_with_the_request_so_that_strict_handling_can_refuse(world: World) -> None:
    """What is warned about in the end is what the translation warned about: nothing is found out too late."""
    world.provider.script = world.row.script(*world.row.ends["done"].answers)
    warned = (await world.bench.run(world.task(**_WISHES))).done.warnings
    before = len(world.provider.sent)
    world.provider.script = world.row.script(*world.row.ends["done"].answers)
    state = await world.bench.run(world.task(**_WISHES, strict=True))
    if warned:
        assert verdict(state) == ("unsupported_parameter", False)
        assert (state.failed.param, state.failed.message) == (warned[0].param, warned[0].message)
        assert len(world.provider.sent) == before
    else:
        assert state.HasField("done")


async def test_strict_handling_sends_none_of_several_calls(world: World) -> None:
    world.provider.script = world.row.script(*world.row.ends["done"].answers)
    warned = (await world.bench.run(world.task(**_WISHES))).done.warnings
    world.provider.sent.clear()
    state = await world.bench.run(world.task(n=4, **_WISHES, strict=True), polls=0, patient=True)
    if warned:
        assert verdict(state) == ("unsupported_parameter", False)
        assert world.provider.sent == []
    else:
        assert world.provider.sent
