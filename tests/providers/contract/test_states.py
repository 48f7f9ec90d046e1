"""Every state that a provider documents ends a task as it should; others are waited out, and then named."""

from __future__ import annotations

import pytest
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.kit.call_driver import GRACE_SECONDS
from imagegateway.providers.kit.error_table import RefusedPart
from imagegateway.providers.kit.usage import is_complete
from imagegateway.providers.registry import HTTP_FAMILIES
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.providers.contract.routes import ROWS
from tests.providers.contract.rows import Answer, Row
from tests.providers.contract.world import World, adapter_of, verdict


def test_table_has_every_route_of_every_family() -> None:
    """A new adapter fails here until `tests.providers.contract.routes` has its row."""
    routes = {(name, adapter.route) for name, entry in HTTP_FAMILIES.items() for adapter in entry.adapters}
    assert {(row.family, row.route) for row in ROWS} == routes


def test_row_is_complete(row: Row) -> None:
    models = {model.id: model for model in HTTP_FAMILIES[row.family].models}
    assert row.route in {route.name for route in models[row.model].routes}
    assert row.ends["done"].code == ""
    assert bool(row.accepted) == bool(row.working)
    assert row.unknown or not row.accepted
    assert [other for other in ROWS if other.name == row.name] == [row]


async def test_every_end_ends_the_task(world: World) -> None:
    for name, end in world.row.ends.items():
        world.provider.sent.clear()
        state = await world.run(*end.answers)
        assert verdict(state) == ((end.code, end.accepted) if end.code else ("", True)), name
        if end.code == "moderation_blocked":
            assert_names_the_policy(state)
        assert not state.done.HasField("usage") or is_complete(state.done.usage), name
        if not end.code:
            (artifact,) = state.done.artifacts
            stored = await world.bench.bytes_of(artifact)
            assert len(stored) == artifact.media.size, name


async def test_moderation_of_a_submit_names_the_policy_and_what_it_refused(world: World) -> None:
    table = adapter_of(world.row).errors
    for code, reason in table.by_code.items():
        if reason == ErrorReason.ERROR_REASON_MODERATION_BLOCKED:
            answer = world.row.worded[code] if code in world.row.worded else world.row.coded and world.row.coded(code)
            assert answer, "the row does not say how the code arrives"
            assert_names_the_policy(await world.submit(answer))
    for status, reason in table.by_status.items():
        if reason == ErrorReason.ERROR_REASON_MODERATION_BLOCKED:
            assert_names_the_policy(await world.submit(Answer(b"", status)))


def assert_names_the_policy(state: pb.TaskState) -> None:
    message = state.failed.message
    assert message.startswith("The content policy of "), message
    assert any(f"refused the {refused.noun}" in message for refused in RefusedPart), message
    assert ("result" in message and "prompt" not in message) == (not state.failed.param)


async def test_task_goes_on_while_the_provider_works(world: World) -> None:
    if not world.row.accepted:
        assert not world.row.working
        return
    state = await world.run(*world.row.working, *world.row.ends["done"].answers)
    assert state.HasField("done")
    assert len(world.provider.calls) >= 2 + len(world.row.working)


async def test_unknown_state_is_waited_out_and_then_named(world: World) -> None:
    if world.row.unknown is None:
        return
    name, answer = world.row.unknown
    began = world.bench.now
    state = await world.run(answer)
    assert verdict(state) == ("provider_bad_response", True)
    assert name in state.failed.message
    waited = world.bench.now - began
    if world.row.accepted:
        assert GRACE_SECONDS < waited < GRACE_SECONDS + 30
    else:
        assert waited == 0, "there is nothing to ask again"
    submissions = [sent for sent in world.provider.calls if sent.method == "POST"]
    assert len(submissions) == 1


async def test_task_that_becomes_known_again_is_not_given_up(world: World) -> None:
    if world.row.unknown is None or not world.row.accepted:
        return
    state = await world.run(world.row.unknown[1], *world.row.ends["done"].answers)
    assert state.HasField("done")


async def test_cancel_tells_the_provider_where_it_listens(world: World) -> None:
    if not world.row.accepted:
        assert world.row.cancel is None
        return
    world.provider.script = [world.row.accepted]
    task = world.task()
    state = await world.bench.family.start(pb.StartRequest(job_id="job_test", task=task))
    before = len(world.provider.sent)
    request = pb.CancelRequest(job_id="job_test", task_ref=state.running.task_ref, task=task)
    assert await world.bench.family.cancel(request) == (world.row.cancel is not None)
    told = world.provider.sent[before:]
    assert [(sent.method, sent.path) for sent in told] == ([world.row.cancel] if world.row.cancel else [])
    assert all(world.provider.key in str(sent.headers) for sent in told)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
async def test_poll_without_an_answer_changes_nothing(world: World, status: int) -> None:
    """Asking costs nothing: only the job's own deadline ends it."""
    if not world.row.accepted:
        return
    trouble = Answer(b"<html>trouble</html>", status)
    state = await world.run(trouble, trouble, *world.row.ends["done"].answers)
    assert state.done.artifacts
