"""Task states: documented states have their outcome; unknown states are waited out, and the failure names them."""

from __future__ import annotations

from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.kit.call_driver import GRACE_SECONDS
from imagegateway.providers.kit.error_table import RefusedPart
from imagegateway.providers.kit.usage import is_complete
from imagegateway.providers.registry import HTTP_FAMILIES
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.providers.contract.api_case import ApiCase, Response
from tests.providers.contract.api_cases import API_CASES
from tests.providers.contract.api_fixture import FOR_TASKS, ApiFixture, adapter_of, submissions, verdict


def test_cases_cover_every_route_of_every_family() -> None:
    """A new adapter fails here until `tests.providers.contract.api_cases` has its case."""
    routes = {(name, adapter.route) for name, entry in HTTP_FAMILIES.items() for adapter in entry.load_adapters()}
    assert {(case.family, case.route) for case in API_CASES} == routes


def test_contract_case_has_every_part_that_its_api_needs(case: ApiCase) -> None:
    models = {model.id: model for model in HTTP_FAMILIES[case.family].models}
    assert case.route in {route.name for route in models[case.model].routes}
    assert case.ends["done"].code == ""
    assert bool(case.accepted) == bool(case.working)
    assert case.accepted or case.cancel is None
    assert case.unknown or not case.accepted
    assert [other for other in API_CASES if other.name == case.name] == [case]


async def test_final_response_has_its_outcome(api: ApiFixture) -> None:
    for name, end in api.case.ends.items():
        api.provider.sent.clear()
        state = await api.run(*end.responses)
        assert verdict(state) == ((end.code, end.may_be_billed) if end.code else ("", True)), name
        if end.code == "moderation_blocked":
            assert_names_the_policy(state)
        assert not state.done.HasField("usage") or is_complete(state.done.usage), name
        if not end.code:
            (artifact,) = state.done.artifacts
            stored = await api.harness.bytes_of(artifact)
            assert len(stored) == artifact.media.size, name


async def test_moderation_of_a_submit_names_the_policy_and_the_refused_part(api: ApiFixture) -> None:
    table = adapter_of(api.case).errors
    for code, reason in table.by_code.items():
        if reason == ErrorReason.ERROR_REASON_MODERATION_BLOCKED:
            response = api.case.worded[code] if code in api.case.worded else api.case.coded and api.case.coded(code)
            assert response, "the case does not define a response with the code"
            assert_names_the_policy(await api.submit(response))
    for status, reason in table.by_status.items():
        if reason == ErrorReason.ERROR_REASON_MODERATION_BLOCKED:
            assert_names_the_policy(await api.submit(Response(b"", status)))


def assert_names_the_policy(state: pb.TaskState) -> None:
    message = state.failed.message
    assert message.startswith("The content policy of "), message
    assert any(f"refused the {refused.noun}" in message for refused in RefusedPart), message
    assert ("result" in message and "prompt" not in message) == (not state.failed.param)


@FOR_TASKS
async def test_task_runs_while_the_provider_works(api: ApiFixture) -> None:
    state = await api.run(*api.case.working, *api.case.ends["done"].responses)
    assert state.HasField("done")
    assert len(api.provider.calls) >= 2 + len(api.case.working)


async def test_unknown_state_is_waited_out_and_named(api: ApiFixture) -> None:
    if api.case.unknown is None:
        return
    name, response = api.case.unknown
    began = api.harness.now
    state = await api.run(response)
    assert verdict(state) == ("provider_bad_response", True)
    assert name in state.failed.message
    waited = api.harness.now - began
    if api.case.accepted:
        assert GRACE_SECONDS < waited < GRACE_SECONDS + 30
    else:
        assert waited == 0, "an inline call has no poll"
    assert len(submissions(api)) == 1


@FOR_TASKS
async def test_task_continues_after_an_unknown_state(api: ApiFixture) -> None:
    assert api.case.unknown
    state = await api.run(api.case.unknown[1], *api.case.ends["done"].responses)
    assert state.HasField("done")


@FOR_TASKS
async def test_cancel_is_sent_to_a_provider_that_supports_it(api: ApiFixture) -> None:
    assert api.case.accepted
    api.provider.script = [api.case.accepted]
    task = api.task()
    state = await api.harness.family.start(pb.StartRequest(job_id="job_test", task=task))
    before = len(api.provider.sent)
    request = pb.CancelRequest(job_id="job_test", task_ref=state.running.task_ref, task=task)
    assert await api.harness.family.cancel(request) == (api.case.cancel is not None)
    cancels = api.provider.sent[before:]
    assert [(sent.method, sent.path) for sent in cancels] == ([api.case.cancel] if api.case.cancel else [])
    assert all(api.provider.key in str(sent.headers) for sent in cancels)


@FOR_TASKS
async def test_poll_error_does_not_end_the_task(api: ApiFixture) -> None:
    """Polls are free, so only the job's deadline ends the task."""
    for status in (408, 429, 500, 502, 503):
        error = Response(b"<html>trouble</html>", status)
        state = await api.run(error, error, *api.case.ends["done"].responses)
        assert state.done.artifacts, status
