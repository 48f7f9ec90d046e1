"""Every reason of an adapter's tables is reached by an answer, and no answer, however hostile, is a crash."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from imagegateway.platform.errors import code_of
from imagegateway.providers.kit.adapter import HttpResponse

from tests.providers.contract.rows import Answer
from tests.providers.contract.world import World, adapter_of, verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROVIDERS_FAULT: Final = {"provider_error", "provider_bad_response"}
_HOSTILE: Final = (
    b"",
    b"<html><body>502 Bad Gateway</body></html>",
    b"\xff\xfe\x00 no text",
    b"{",
    b"[]",
    b'"text"',
    b"7",
    b"null",
    b"{}",
    b'{"data": 1e999, "id": -1e999, "status": 1e999, "name": 1e999}',
    b'{"status": ' + b"9" * 5000 + b"}",
    b"[" * 100_000 + b"]" * 100_000,
    *(b'{"%s": ' % name + b"[" * 1000 + b"]" * 1000 + b"}" for name in (b"status", b"data", b"error", b"detail")),
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    b'{"status": "\\ud800", "id": "\\ud800", "data": "\\ud800"}',
)
_VALUES: Final[tuple[Any, ...]] = (None, True, 10**30, "x", [], {"x": "x"})
"""What is put in the place of every part of a good answer."""


async def test_every_status_of_the_table_has_its_reason(world: World) -> None:
    table = adapter_of(world.row).errors
    for status, reason in table.by_status.items():
        state = await world.submit(Answer(b"", status))
        accepted = status >= 500 and not world.row.free(status, None)
        if status == 408:
            accepted = state.failed.may_be_billed  # who waited for whom is the adapter's to know
        if (status, world.row.route) == (422, "ideogram"):
            assert verdict(state)[0] == "moderation_blocked"
        assert verdict(state) == (code_of(reason), accepted), status


async def test_every_code_of_the_table_has_its_reason(world: World) -> None:
    row = world.row
    table = adapter_of(row).errors
    assert set(row.worded) <= set(table.by_code)
    assert row.coded or set(row.worded) == set(table.by_code), "the row does not say how codes arrive"
    for code, reason in table.by_code.items():
        answer = row.worded[code] if code in row.worded else row.coded(code) if row.coded else Answer(b"")
        assert verdict(await world.submit(answer))[0] == code_of(reason), code


@pytest.mark.parametrize("body", _HOSTILE, ids=range(len(_HOSTILE)))
async def test_hostile_answer_to_a_submit_is_the_providers_fault_and_may_have_cost(world: World, body: bytes) -> None:
    for headers in ({}, {"content-type": "application/json"}, {"content-type": "text/event-stream"}):
        state = await world.submit(Answer(body, headers=headers))
        code, accepted = verdict(state)
        allowed = _PROVIDERS_FAULT | {world.row.empty}
        assert code in allowed, state
        assert accepted
        assert "html" not in state.failed.message
    code, accepted = verdict(await world.submit(Answer(body, 502)))
    assert code == "provider_error"
    assert accepted or world.row.free(502, HttpResponse(502, {}, body).json)


@pytest.mark.parametrize("body", _HOSTILE, ids=range(len(_HOSTILE)))
async def test_hostile_answer_to_a_poll_ends_the_task_or_is_waited_out(world: World, body: bytes) -> None:
    if not world.row.accepted:
        return
    state = await world.run(Answer(body))
    if state.HasField("failed"):
        assert verdict(state) in {(code, True) for code in (*_PROVIDERS_FAULT, world.row.empty)}
    submissions = [sent for sent in world.provider.calls if sent.method == "POST"]
    assert len(submissions) == 1


async def test_answer_with_any_part_damaged_is_no_crash(world: World) -> None:
    """Every part of the answers that lead to a picture in turn becomes something else."""
    script = world.row.script(*world.row.ends["done"].answers)
    for at, answer in enumerate(script):
        for damaged in _damaged(answer.body) if not isinstance(answer.body, bytes) else ():
            world.provider.script = [*script[:at], Answer(damaged, answer.status, answer.headers), *script[at + 1 :]]
            state = await world.bench.run(world.task(), polls=4, patient=True)
            assert state.WhichOneof("state") in {"running", "done", "failed"}, damaged
            assert state.failed.message or not state.HasField("failed"), damaged


def _damaged(value: Any) -> Iterator[Any]:
    """The value with one part of it replaced, for every part and every replacement."""
    yield from _VALUES
    if isinstance(value, dict):
        for name, part in value.items():
            yield from ({**value, name: other} for other in _damaged(part))
            yield {other: part for other, part in value.items() if other != name}
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from ([*value[:index], other, *value[index + 1 :]] for other in _damaged(part))


def test_damage_reaches_every_part() -> None:
    found = [json.dumps(value) for value in _damaged({"a": [{"b": "c"}]})]
    assert '{"a": [{"b": null}]}' in found
    assert '{"a": [{}]}' in found
