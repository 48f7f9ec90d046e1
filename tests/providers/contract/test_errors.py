"""Error tables: a response leads to each reason, and no response, however hostile, raises an exception."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from imagegateway.platform.errors import code_of
from imagegateway.providers.kit.http_messages import HttpResponse

from tests.providers.contract.api_case import Response
from tests.providers.contract.api_fixture import FOR_TASKS, ApiFixture, adapter_of, submissions, verdict
from tests.support.examples import sample

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROVIDER_FAULTS: Final = {"provider_error", "provider_bad_response"}
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
"""Replacements for each part of a valid response."""


async def test_error_status_maps_to_its_reason(api: ApiFixture) -> None:
    table = adapter_of(api.case).errors
    for status, reason in table.by_status.items():
        state = await api.submit(Response(b"", status))
        billable = status >= 500 and not api.case.free(status, None)
        if status == 408:
            billable = state.failed.may_be_billed  # only the adapter knows which side timed out
        if (status, api.case.route) == (422, "ideogram"):
            assert verdict(state)[0] == "moderation_blocked"
        assert verdict(state) == (code_of(reason), billable), status


async def test_error_code_maps_to_its_reason(api: ApiFixture) -> None:
    case = api.case
    table = adapter_of(case).errors
    assert set(case.worded) <= set(table.by_code)
    assert case.coded or set(case.worded) == set(table.by_code), "the case does not define responses with codes"
    for code, reason in table.by_code.items():
        response = case.worded[code] if code in case.worded else case.coded(code) if case.coded else Response(b"")
        assert verdict(await api.submit(response))[0] == code_of(reason), code


async def test_hostile_submit_response_is_a_provider_failure_that_may_be_billed(api: ApiFixture) -> None:
    for body in sample(_HOSTILE):
        for headers in ({}, {"content-type": "application/json"}, {"content-type": "text/event-stream"}):
            state = await api.submit(Response(body, headers=headers))
            code, may_be_billed = verdict(state)
            assert code in _PROVIDER_FAULTS | {api.case.empty}, (body, state)
            assert may_be_billed, body
            assert "html" not in state.failed.message
        code, may_be_billed = verdict(await api.submit(Response(body, 502)))
        assert code == "provider_error", body
        assert may_be_billed or api.case.free(502, HttpResponse(502, {}, body).json), body


@FOR_TASKS
async def test_hostile_poll_response_ends_the_task_or_is_waited_out(api: ApiFixture) -> None:
    for body in sample(_HOSTILE):
        api.provider.sent.clear()
        state = await api.run(Response(body))
        if state.HasField("failed"):
            assert verdict(state) in {(code, True) for code in (*_PROVIDER_FAULTS, api.case.empty)}, body
        assert len(submissions(api)) == 1, body


async def test_response_with_any_damaged_part_raises_no_exception(api: ApiFixture) -> None:
    """Each part of the responses that lead to an image is replaced in turn."""
    script = api.case.script(*api.case.ends["done"].responses)
    for at, response in enumerate(script):
        for damaged in sample(_damaged(response.body)) if not isinstance(response.body, bytes) else ():
            api.provider.script = [
                *script[:at],
                Response(damaged, response.status, response.headers),
                *script[at + 1 :],
            ]
            state = await api.harness.run(api.task(), polls=4, patient=True)
            assert state.WhichOneof("state") in {"running", "done", "failed"}, damaged
            assert state.failed.message or not state.HasField("failed"), damaged


def _damaged(value: Any) -> Iterator[Any]:
    """Yield the value with one part replaced, for each part and replacement."""
    yield from _VALUES
    if isinstance(value, dict):
        for name, part in value.items():
            yield from ({**value, name: other} for other in _damaged(part))
            yield {other: part for other, part in value.items() if other != name}
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from ([*value[:index], other, *value[index + 1 :]] for other in _damaged(part))


def test_damaged_variants_cover_every_part_of_a_response() -> None:
    found = [json.dumps(value) for value in _damaged({"a": [{"b": "c"}]})]
    assert '{"a": [{"b": null}]}' in found
    assert '{"a": [{}]}' in found
