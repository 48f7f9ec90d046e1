"""Rate limits through Envoy: over both protocols and both routers, on every response to a limited key."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from imagegateway.keys.policy import Quota, Scope
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import image_service_pb2_grpc as pb_grpc

from tests.gateway import cases, inputs
from tests.gateway.jobs import wire
from tests.gateway.jobs.calls import ASYNC, NO_JOB, Caller
from tests.gateway.jobs.stacks import new_caller
from tests.gateway.rest import EDITS, assert_error

if TYPE_CHECKING:
    from http.client import HTTPMessage

    from tests.gateway.rest import Answer
    from tests.support.stack import Stack

REQUEST: Final = pb.GenerateRequest(model="local/sketch", prompt="a red kite", size="64x64")


def limited(
    stack: Stack, tenant: str, requests: int | None = None, images: int | None = None, **policy: Any
) -> Caller:
    quota = Quota(requests_per_minute=requests, images_per_minute=images)
    return new_caller(stack, tenant, quota=quota, **policy)


def left(headers: HTTPMessage, measure: str = "requests") -> int:
    return int(headers[f"x-ratelimit-remaining-{measure}"])


def refused(answer: Answer) -> str:
    return assert_error(answer, 429, "rate_limit_exceeded", kind="rate_limit_error")


def test_every_response_to_a_limited_key_has_its_limits(stack: Stack) -> None:
    caller = limited(stack, "rates-headers", requests=10, images=9)  # so few that none is full again before the end
    form = inputs.form(inputs.file_part("image", inputs.image_bytes()), model="local/sketch", prompt="more")
    made = caller.generate()
    job_id = caller.submit()
    answers = {
        200: [
            made,
            caller.ask("GET", f"/v1/jobs/{job_id}", headers={"prefer": "wait=30"}),
            caller.ask("GET", "/v1/models"),
            caller.ask("HEAD", "/v1/models"),
            caller.ask("GET", "/v1/jobs"),
            caller.ask("GET", f"/v1/jobs/{job_id}/events"),
            caller.ask("GET", f"/v1/files/jobs/{job_id}/0.png"),
            caller.generate(stream=True),
            caller.ask("POST", EDITS, form, inputs.FORM),
        ],
        202: [caller.generate(ASYNC)],
        400: [caller.generate(n="many"), caller.generate({"prefer": "wait=soon"})],
        404: [caller.ask("GET", f"/v1/jobs/{NO_JOB}")],
    }
    for status, given in answers.items():
        for answer in given:
            assert answer.status == status, answer.body
            assert answer.headers["x-ratelimit-limit-requests"] == "10"
            assert answer.headers["x-ratelimit-limit-images"] == "9"
            assert answer.headers["x-ratelimit-reset-requests"].endswith("s")
            assert 0 < left(answer.headers) < 10
            assert 0 < left(answer.headers, "images") < 9
    reader = limited(stack, "rates-headers", images=3, scopes=frozenset({Scope.READ}))
    answer = reader.generate()
    assert (answer.status, left(answer.headers, "images")) == (403, 3)
    assert "x-ratelimit-limit-requests" not in answer.headers
    assert not [name for name in new_caller(stack, "rates-none").generate().headers if name.startswith("x-ratelimit")]


def test_only_calls_that_make_jobs_are_counted(stack: Stack) -> None:
    caller = limited(stack, "rates-count", requests=50, images=3)
    first = caller.generate({"idempotency-key": "again"}, n=2)
    assert (first.status, left(first.headers, "images")) == (200, 1)
    assert caller.generate({"idempotency-key": "again"}, n=2).status == 200
    assert_error(caller.generate(size="big"), 400, "invalid_value", "size")
    assert_error(caller.generate(n=4), 400, "invalid_value", "n")
    assert caller.ask("GET", "/v1/models").status == 200
    assert caller.generate({"prefer": "dry-run"}).json()["object"] == "plan"
    answer = caller.generate()
    assert (answer.status, left(answer.headers, "images")) == (200, 0)
    message = refused(caller.generate(n=2))
    assert "this key may make 3 images a minute" in message


def test_call_over_the_limit_learns_when_to_come_again(stack: Stack) -> None:
    caller = limited(stack, "rates-over", requests=2)
    assert [caller.generate().status for _ in range(2)] == [200, 200]
    for answer in (caller.generate(), caller.generate(stream=True)):
        refused(answer)
        assert 1 <= int(answer.headers["retry-after"]) <= 30
        assert left(answer.headers) == 0
        assert "x-should-retry" not in answer.headers


def test_native_call_has_the_same_limits(stack: Stack) -> None:
    caller = limited(stack, "rates-grpc", requests=1)
    metadata = (("authorization", f"Bearer {caller.key}"),)
    with cases.channel(stack) as channel:
        stub: Any = pb_grpc.ImageServiceStub(channel)
        _, call = stub.Generate.with_call(REQUEST, metadata=metadata, timeout=60)
        assert dict(call.initial_metadata())["x-ratelimit-remaining-requests"] == "0"
        with pytest.raises(grpc.RpcError) as raised:
            stub.Generate(REQUEST, metadata=metadata, timeout=60)
    error: Any = raised.value
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    trailers = dict(error.trailing_metadata())
    assert trailers["x-ratelimit-limit-requests"] == "1"
    details = status_pb2.Status.FromString(trailers["grpc-status-details-bin"]).details
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert details[0].Unpack(info)
    assert details[1].Unpack(retry)
    assert (info.reason, dict(info.metadata)) == ("RATE_LIMIT_EXCEEDED", {"limit": "1", "measure": "requests"})
    assert 1 <= retry.retry_delay.ToTimedelta().total_seconds() <= 60


def test_limit_holds_over_both_routers(stack: Stack) -> None:
    caller, limit = limited(stack, "rates-both", requests=30), 30
    began = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda _: caller.generate(ASYNC).status, range(60)))
    refilled = (time.monotonic() - began) * limit / 60
    assert statuses.count(202) + statuses.count(429) == 60
    assert limit <= statuses.count(202) <= (limit + refilled) * 1.05


def test_job_over_the_concurrent_jobs_of_its_key_waits_and_delays_no_other_key(stack: Stack) -> None:
    caller = new_caller(stack, "concurrent", quota=Quota(concurrent_jobs=1))
    running = caller.submit(60)
    caller.until(running, "running")
    for index in (0, 1):  # a router lists jobs once it has seen every one, so both know that this one runs
        with wire.router(caller, index) as stub:
            stub.ListJobs(pb.ListJobsRequest(), metadata=wire.metadata(caller), timeout=wire.SECONDS)
    waiting = caller.submit()
    assert caller.job(waiting)["status"] == "queued"
    other = new_caller(stack, "concurrent")
    assert other.end(other.submit())["status"] == "completed"
    assert caller.job(waiting)["status"] == "queued"
    admin = new_caller(stack, "operators", scopes=frozenset({Scope.ADMIN}))
    (key_id,) = (
        key["id"]
        for key in admin.ask("GET", "/v1/admin/keys?tenant=concurrent").json()["data"]
        if key.get("concurrent_jobs")
    )
    assert admin.ask("PATCH", f"/v1/admin/keys/{key_id}", {"concurrent_jobs": 2}).status == 200
    assert caller.end(waiting)["status"] == "completed", "a raised limit starts waiting jobs"
    caller.cancel(running)
