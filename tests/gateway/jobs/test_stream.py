"""StreamJob over gRPC and server-sent events over REST: order, resumption, ends."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import psutil  # type: ignore[import-untyped]  # ships no types
import pytest
from google.protobuf.json_format import MessageToDict
from imagegateway.v1 import image_service_pb2 as pb

from tests.gateway.jobs import sse, wire
from tests.gateway.rest import assert_error
from tests.support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

    from imagegateway.v1 import image_service_pb2_grpc as pb_grpc

    from tests.gateway.jobs.calls import Caller

STEPS = {"delay": 3, "steps": 12}
"""Start a job that reports progress."""
MEGABYTE = 1 << 20


@pytest.fixture(scope="module", autouse=True)
def quiet(caller: Caller) -> Iterator[Future[list[sse.Event]]]:
    """Read the stream of an unchanging job up to the first comment, concurrently with other tests."""
    job_id = caller.submit(provider_options={"delay": 60, "steps": 1})

    def read() -> list[sse.Event]:
        seen: list[sse.Event] = []
        with sse.open_stream(caller, job_id) as stream:
            for event in stream:
                seen.append(event)
                if event is sse.COMMENT:
                    break
        return seen

    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(read)
    caller.cancel(job_id)


def as_event(message: pb.StreamJobResponse) -> sse.Event:
    data: dict[str, Any] = MessageToDict(message.job, preserving_proto_field_name=True)
    return sse.Event(int(message.event_id), message.type, data)


def over_grpc(
    stub: pb_grpc.ImageServiceStub, caller: Caller, job_id: str, after: str = ""
) -> Iterable[pb.StreamJobResponse]:
    request = pb.StreamJobRequest(job_id=job_id, after=after)
    return stub.StreamJob(request, metadata=wire.metadata(caller), timeout=wire.SECONDS)


def facts(event: sse.Event) -> tuple[int, str, str, object]:
    return event.id, event.name, event.status, event.data.get("progress")


def test_events_have_all_states_in_order(caller: Caller) -> None:
    job_id = caller.submit(provider_options=STEPS)
    events = sse.read_all(caller, job_id)
    sse.check(events, job_id)
    assert len(events) >= 4
    assert events[0].name == "job.running"
    assert {event.name for event in events[1:-1]} == {"job.progress"}
    assert events[-1].name == "job.completed"
    assert {name: events[-1].data[name] for name in ("status", "completed_at", "progress")} == {
        name: caller.job(job_id)[name] for name in ("status", "completed_at", "progress")
    }
    assert caller.fetch(events[-1].data["result_url"])


def test_events_are_the_same_over_grpc(caller: Caller) -> None:
    job_id = caller.submit(provider_options=STEPS)
    with wire.public(caller) as stub, ThreadPoolExecutor(1) as pool:
        follower = pool.submit(sse.read_all, caller, job_id)
        events = [as_event(message) for message in over_grpc(stub, caller, job_id)]
        over_rest = follower.result(60)
    sse.check(events, job_id)
    # Each stream starts with the state at its subscription; later events are equal.
    begin = max(events[0].id, over_rest[0].id)
    suffixes = [[facts(event)[0::2] for event in found if event.id >= begin] for found in (events, over_rest)]
    assert suffixes[0] == suffixes[1]
    assert len(suffixes[0]) >= 3


@pytest.mark.parametrize(("options", "end"), [({"fail": "moderation_blocked", "delay": 0.3}, "failed"), (None, "")])
def test_event_stream_ends_with_the_job_in_every_final_state(
    caller: Caller, options: dict[str, Any] | None, end: str
) -> None:
    job_id = caller.submit(provider_options=options or {"delay": 30})
    with ThreadPoolExecutor(1) as pool:
        follower = pool.submit(sse.read_all, caller, job_id)
        if not options:
            caller.until(job_id, "running")
            caller.cancel(job_id)
        events = follower.result(30)
    sse.check(events, job_id)
    assert events[-1].name == f"job.{end or 'cancelled'}"


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_late_subscriber_gets_the_end_at_once(caller: Caller, protocol: str) -> None:
    job_id = caller.generate().json()["id"]
    if protocol == "rest":
        (event,) = sse.read_all(caller, job_id)
    else:
        with wire.public(caller) as stub:
            (event,) = [as_event(message) for message in over_grpc(stub, caller, job_id)]
    assert event.name == "job.completed"
    assert caller.fetch(event.data["result"]["data"][0]["url"])


def test_subscriber_in_the_middle_gets_the_present_state_first(caller: Caller) -> None:
    job_id = caller.submit(provider_options={"delay": 6, "steps": 6})
    caller.until(job_id, "running")
    first = next(iter(sse.read_all(caller, job_id)))
    assert first.name == "job.running"


@pytest.mark.parametrize("by_query", [False, True])
def test_break_is_resumed_without_a_gap(caller: Caller, by_query: bool) -> None:
    job_id = caller.submit(provider_options=STEPS)
    whole = sse.Follower(caller, job_id)
    eventually(lambda: bool(whole.events), 30, "the other subscriber has begun")
    before = []
    with sse.open_stream(caller, job_id) as stream:
        for event in stream:
            before.append(event)
            if len(before) == 2:
                stream.drop()
                break
    after = sse.read_all(caller, job_id, before[-1].id, by_query=by_query)
    sse.check([*before, *after], job_id)
    # Progress that was overtaken before the reconnection is not sent again.
    assert [facts(event) for event in after] == [
        facts(event) for event in whole.result(30) if event.id >= after[0].id
    ]


def test_resume_after_the_last_event_sends_no_event(caller: Caller) -> None:
    job_id = caller.submit(0.3)
    events = sse.read_all(caller, job_id)
    assert sse.read_all(caller, job_id, events[-1].id) == []
    with wire.public(caller) as stub:
        assert list(over_grpc(stub, caller, job_id, str(events[-1].id))) == []


def test_resume_before_the_last_event_sends_the_last_event(caller: Caller) -> None:
    job_id = caller.submit(1)
    with sse.open_stream(caller, job_id) as stream:
        first = next(iter(stream))
    caller.end(job_id)
    missed = sse.read_all(caller, job_id, first.id)
    sse.check([first, *missed], job_id)
    with wire.router(caller, 0) as here, wire.router(caller, 1) as there:
        for stub in (here, there):
            again = [as_event(message) for message in over_grpc(stub, caller, job_id, str(first.id))]
            assert [facts(event) for event in again] == [facts(event) for event in missed]


@pytest.mark.parametrize("after", ["x", "-1", "9" * 30])
def test_resume_after_an_invalid_event_id_is_refused(caller: Caller, after: str) -> None:
    job_id = caller.generate().json()["id"]
    answer = caller.ask("GET", f"/v1/jobs/{job_id}/events", headers={"last-event-id": after})
    assert_error(answer, 400, "invalid_value", "after")
    with wire.public(caller) as stub, pytest.raises(grpc.RpcError) as caught:
        list(over_grpc(stub, caller, job_id, after))
    assert wire.failure(caught.value).param == "after"


def test_delete_during_the_stream_ends_it(caller: Caller) -> None:
    job_id = caller.submit(provider_options={"delay": 60, "steps": 1})
    with sse.open_stream(caller, job_id, seconds=30) as stream:
        events = iter(stream)
        assert next(events).status in {"queued", "running"}
        caller.cancel(job_id)
        assert [event.name for event in events][-1] == "job.cancelled"


def test_many_subscribers_see_the_same(caller: Caller) -> None:
    job_id = caller.submit(provider_options=STEPS)
    followers = [sse.Follower(caller, job_id) for _ in range(40)]
    results = [follower.result(60) for follower in followers]
    begin = max(events[0].id for events in results)
    suffixes = {tuple(facts(event)[0::2] for event in events if event.id > begin) for events in results}
    assert len(suffixes) == 1


def read_late(messages: Iterable[pb.StreamJobResponse]) -> tuple[list[sse.Event], grpc.RpcError | None]:
    """Return all events, and the error of the stream, if any."""
    seen: list[sse.Event] = []
    try:
        for message in messages:
            seen.append(as_event(message))  # noqa: PERF401  events before an error count
    except grpc.RpcError as error:
        return seen, error
    return seen, None


def test_subscriber_that_never_reads_uses_bounded_memory_and_delays_no_other(caller: Caller) -> None:
    """Thirty clients read none of a hundred events of 8 KB."""
    bulk = {f"pair-{index}": "x" * 512 for index in range(16)}
    process = caller.stack.child("router-0")
    assert isinstance(process, psutil.Process)
    before = process.memory_info().rss
    with wire.router(caller, 0) as stub:
        job_id = wire.submit(stub, caller, metadata=bulk, provider_options={"delay": 6, "steps": 1000})
        idle = [over_grpc(stub, caller, job_id) for _ in range(30)]
        reader = [as_event(message) for message in over_grpc(stub, caller, job_id)]
        sse.check(reader, job_id)
        assert reader[-1].name == "job.completed"
        assert process.memory_info().rss - before < 64 * MEGABYTE
        for slow in idle:
            seen, error = read_late(slow)
            if error:  # a dropped subscriber gets this error and can resume
                assert wire.code(error) is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert wire.failure(error).code == "subscriber_too_slow"
                last = str(seen[-1].id) if seen else ""
                seen += [as_event(message) for message in over_grpc(stub, caller, job_id, last)]
            sse.check(seen, job_id)


def test_quiet_stream_is_kept_alive_by_comments(quiet: Future[list[sse.Event]]) -> None:
    events = quiet.result(60)
    assert sse.COMMENT in events
    assert not [event for event in events if event.terminal]
