"""GetJob, ListJobs, and isolation of tenants."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import image_service_pb2_grpc as pb_grpc
from imagegateway.v1 import webhook_service_pb2 as webhook_pb
from imagegateway.v1 import webhook_service_pb2_grpc as webhook_grpc

from tests.gateway.jobs import sse, wire
from tests.gateway.jobs.calls import NO_JOB
from tests.gateway.rest import assert_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gateway.jobs.calls import Caller


@pytest.fixture(scope="module")
def done(caller: Caller) -> str:
    """Return the id of a completed job of the first tenant."""
    job_id: str = caller.generate().json()["id"]
    return job_id


@pytest.fixture
def running(caller: Caller) -> Iterator[str]:
    """Yield the id of a job that runs for long, and whose record does not change meanwhile."""
    job_id = caller.submit(60, provider_options={"delay": 60, "steps": 1})
    with sse.open_stream(caller, job_id, after=0) as stream:  # the provider's acceptance is the last change
        assert any(event.name == "job.progress" for event in stream)
    yield job_id
    caller.cancel(job_id)


def test_get_of_an_unchanged_job_is_304_by_its_etag(caller: Caller, done: str) -> None:
    first = caller.ask("GET", f"/v1/jobs/{done}")
    etag = first.headers["etag"]
    assert etag.strip('"')
    assert etag.startswith('"')
    assert "retry-after" not in first.headers
    for known in (etag, f"W/{etag}", f'"other", {etag}'):
        answer = caller.ask("GET", f"/v1/jobs/{done}", headers={"if-none-match": known})
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", etag)
        assert answer.headers["x-request-id"]
    answer = caller.ask("GET", f"/v1/jobs/{done}", headers={"if-none-match": '"other"'})
    assert answer.status == 200


def test_get_of_a_running_job_has_retry_after(caller: Caller, running: str) -> None:
    answer = caller.ask("GET", f"/v1/jobs/{running}")
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["status"] == "running"


def test_etag_changes_with_the_job(caller: Caller) -> None:
    job_id = caller.submit(60)
    etag = caller.ask("GET", f"/v1/jobs/{job_id}").headers["etag"]
    caller.cancel(job_id)
    answer = caller.ask("GET", f"/v1/jobs/{job_id}", headers={"if-none-match": etag})
    assert answer.status == 200
    assert answer.headers["etag"] != etag


def test_long_poll_holds_until_the_end(caller: Caller) -> None:
    job_id = caller.submit(1.5)
    answer = caller.ask("GET", f"/v1/jobs/{job_id}", headers={"prefer": "wait=60"})
    assert (answer.status, answer.json()["status"]) == (200, "completed")
    assert answer.headers["preference-applied"] == "wait=60"


def test_long_poll_with_an_etag_ends_at_the_next_change(caller: Caller) -> None:
    job_id = caller.submit(provider_options={"delay": 60, "steps": 60})
    etag = caller.ask("GET", f"/v1/jobs/{job_id}").headers["etag"]
    answer = caller.ask("GET", f"/v1/jobs/{job_id}", headers={"prefer": "wait=60", "if-none-match": etag})
    assert answer.status == 200
    assert answer.headers["etag"] != etag
    assert answer.json()["status"] == "running"
    caller.cancel(job_id)


def test_long_poll_without_a_change_is_not_modified(caller: Caller, running: str) -> None:
    answer = caller.ask("GET", f"/v1/jobs/{running}", headers={"prefer": "wait=1"})
    assert (answer.status, answer.json()["status"]) == (200, "running")
    headers = {"prefer": "wait=1", "if-none-match": answer.headers["etag"]}
    assert caller.ask("GET", f"/v1/jobs/{running}", headers=headers).status == 304


@pytest.mark.parametrize("written", ["W/{}", '"other", W/{}', "*"])
def test_long_poll_with_a_weak_etag_or_a_list_of_etags_waits(caller: Caller, running: str, written: str) -> None:
    tag = caller.ask("GET", f"/v1/jobs/{running}").headers["etag"]
    began = time.monotonic()
    headers = {"prefer": "wait=1", "if-none-match": written.format(tag)}
    assert caller.ask("GET", f"/v1/jobs/{running}", headers=headers).status == 304
    assert time.monotonic() - began > 0.9


def test_long_poll_of_an_ended_job_does_not_wait(caller: Caller, done: str) -> None:
    began = time.monotonic()
    caller.ask("GET", f"/v1/jobs/{done}", headers={"prefer": "wait=600"})
    assert time.monotonic() - began < 30


def test_get_signs_the_links_afresh(caller: Caller, done: str) -> None:
    urls = {caller.job(done)["result_url"]}
    time.sleep(1.1)
    urls.add(caller.job(done)["result_url"])
    paths = {url.partition("?")[0] for url in urls}
    assert len(paths) == 1
    for url in urls:
        caller.fetch(url)


def test_get_over_grpc_returns_the_same_job_with_its_etag(caller: Caller, done: str) -> None:
    with wire.public(caller) as stub:
        job, call = stub.GetJob.with_call(
            pb.GetJobRequest(job_id=done), metadata=wire.metadata(caller), timeout=wire.SECONDS
        )
    assert (job.id, job.status, job.object) == (done, "completed", "job")
    assert dict(call.initial_metadata())["etag"] == caller.ask("GET", f"/v1/jobs/{done}").headers["etag"]


def test_list_pages_through_all_jobs_newest_first(fresh: Caller) -> None:
    made = [fresh.submit() for _ in range(7)]
    for job_id in made:
        fresh.end(job_id)
    first = fresh.page(page_size=3)
    assert (first["object"], len(first["data"])) == ("list", 3)
    second = fresh.page(page_size=3, page_token=first["next_page_token"])
    third = fresh.page(page_size=3, page_token=second["next_page_token"])
    assert not third.get("next_page_token")
    assert fresh.page(page_size=3, page_token=first["next_page_token"])["data"][0]["id"] == second["data"][0]["id"]
    listed = [job["id"] for page in (first, second, third) for job in page["data"]]
    assert sorted(listed) == sorted(made)
    assert [job["id"] for job in fresh.jobs()] == listed
    created = [job["created_at"] for job in fresh.jobs()]
    assert created == sorted(created, reverse=True)
    assert [job["result"]["data"][0]["media_type"] for job in fresh.jobs()] == ["image/png"] * 7


def test_list_does_not_shift_when_new_jobs_come(fresh: Caller) -> None:
    made = [fresh.submit() for _ in range(4)]
    first = fresh.page(page_size=2)
    for job_id in (fresh.submit(), fresh.submit()):
        fresh.end(job_id)
    rest = fresh.page(page_size=10, page_token=first["next_page_token"])
    assert sorted(job["id"] for job in first["data"] + rest["data"]) == sorted(made)


def test_list_holds_a_job_as_soon_as_it_is_acknowledged(fresh: Caller) -> None:
    with wire.router(fresh, 0) as here, wire.router(fresh, 1) as there:
        for _ in range(10):
            job_id = wire.submit(here, fresh)
            answer = there.ListJobs(pb.ListJobsRequest(), metadata=wire.metadata(fresh), timeout=wire.SECONDS)
            assert answer.data[0].id == job_id


def test_list_by_status_and_model(fresh: Caller) -> None:
    good, bad, slow = fresh.submit(), fresh.submit(provider_options={"fail": "provider_error"}), fresh.submit(60)
    stopped = fresh.submit(60)
    fresh.cancel(stopped)
    fresh.end(good)
    fresh.end(bad)
    fresh.until(slow, "running")
    ids = {status: [job["id"] for job in fresh.jobs(status=status)] for status in ("queued", "running", "completed")}
    assert ids == {"queued": [], "running": [slow], "completed": [good]}
    assert [job["id"] for job in fresh.jobs(status="failed")] == [bad]
    assert [job["id"] for job in fresh.jobs(status="cancelled")] == [stopped]
    assert len(fresh.jobs(model="local/sketch")) == len(fresh.jobs(model="sketch")) == 4
    assert [job["id"] for job in fresh.jobs(model="sketch", status="failed")] == [bad]
    fresh.cancel(slow)


def test_list_without_jobs_is_empty(fresh: Caller) -> None:
    assert fresh.page() == {"object": "list", "data": []}


@pytest.mark.parametrize(
    ("query", "code", "param", "status"),
    [
        ("status=done", "invalid_value", "status", 400),
        ("page_token=nonsense", "invalid_value", "page_token", 400),
        ("page_token=%C3%BC", "invalid_value", "page_token", 400),
        ("page_size=-1", "invalid_value", "page_size", 400),
        ("model=local/sketsh", "model_not_found", "model", 404),
    ],
)
def test_list_with_an_invalid_parameter_is_refused(
    caller: Caller, query: str, code: str, param: str, status: int
) -> None:
    assert_error(caller.ask("GET", f"/v1/jobs?{query}"), status, code, param)


def test_page_size_over_the_limit_is_reduced_to_100(caller: Caller) -> None:
    assert len(caller.page(page_size=100_000)["data"]) <= 100


def test_list_holds_jobs_of_the_callers_tenant_only(caller: Caller, stranger: Caller, done: str) -> None:
    mine = stranger.submit()
    stranger.end(mine)
    assert done not in [job["id"] for job in stranger.jobs()]
    assert mine not in [job["id"] for job in caller.jobs()]
    token = caller.page(page_size=1).get("next_page_token")
    if token:  # a token is a position in the caller's own list, for every tenant
        theirs = stranger.page(page_size=100, page_token=token)["data"]
        assert {job["id"] for job in theirs} <= {job["id"] for job in stranger.jobs()}


OPERATIONS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "", None),
    ("GET", "/events", None),
    ("DELETE", "", None),
    ("POST", "/cancel", None),
    ("POST", "/redeliver", {}),
]


@pytest.mark.parametrize(("method", "suffix", "body"), OPERATIONS)
def test_job_of_another_tenant_is_not_found(
    stranger: Caller, done: str, method: str, suffix: str, body: dict[str, Any] | None
) -> None:
    theirs, none = (stranger.ask(method, f"/v1/jobs/{job}{suffix}", body) for job in (done, NO_JOB))
    assert_error(none, 404, "job_not_found", "job_id")
    assert theirs.status == none.status
    assert theirs.body.replace(done.encode(), b"") == none.body.replace(NO_JOB.encode(), b"")
    names = [{name.lower() for name in answer.headers} for answer in (theirs, none)]
    assert names[0] == names[1]


@pytest.mark.parametrize("path", ["/v1/files/jobs/{job}/0.png", "/v1/files/jobs/{job}/0.png/signed"])
def test_file_of_another_tenant_is_not_found(stranger: Caller, done: str, path: str) -> None:
    theirs, none = (stranger.ask("GET", path.format(job=job)) for job in (done, NO_JOB))
    assert theirs.status == none.status == 404
    assert theirs.body.replace(done.encode(), b"") == none.body.replace(NO_JOB.encode(), b"")


def test_job_of_another_tenant_stays_untouched(caller: Caller, stranger: Caller, running: str) -> None:
    assert stranger.ask("DELETE", f"/v1/jobs/{running}").status == 404
    assert caller.job(running)["status"] == "running"


def call(channel: grpc.Channel, caller: Caller, method: str, job_id: str) -> None:
    """Call any method that names a job."""
    options: dict[str, Any] = {"metadata": wire.metadata(caller), "timeout": wire.SECONDS}
    images = pb_grpc.ImageServiceStub(channel)
    if method == "RedeliverWebhook":
        request = webhook_pb.RedeliverWebhookRequest(job_id=job_id)
        webhook_grpc.WebhookServiceStub(channel).RedeliverWebhook(request, **options)
    elif method == "StreamJob":
        list(images.StreamJob(pb.StreamJobRequest(job_id=job_id), **options))
    else:
        getattr(images, method)(getattr(pb, f"{method}Request")(job_id=job_id), **options)


@pytest.mark.parametrize("method", ["GetJob", "CancelJob", "StreamJob", "RedeliverWebhook"])
def test_job_of_another_tenant_is_not_found_over_grpc(stranger: Caller, done: str, method: str) -> None:
    found = []
    with grpc.insecure_channel(stranger.stack.address) as channel:
        for job_id in (done, NO_JOB, "job_1", "../x"):
            with pytest.raises(grpc.RpcError) as caught:
                call(channel, stranger, method, job_id)
            assert wire.code(caught.value) is grpc.StatusCode.NOT_FOUND
            failure = wire.failure(caught.value)
            assert (failure.code, failure.param) == ("job_not_found", "job_id")
            found.append(failure.message.replace(job_id, ""))
    assert len(set(found)) == 1


@pytest.mark.parametrize("job", ["job_1", "x", "job_UPPER00000000000000000000", "a" * 3000])
def test_job_id_of_another_form_is_not_found(caller: Caller, job: str) -> None:
    assert_error(caller.ask("GET", f"/v1/jobs/{job}"), 404, "job_not_found", "job_id")


def test_twenty_concurrent_readers_of_one_job_see_its_end(caller: Caller) -> None:
    job_id = caller.submit(1.5)
    with ThreadPoolExecutor(20) as pool:
        ended = list(pool.map(lambda _: caller.end(job_id)["status"], range(20)))
    assert ended == ["completed"] * 20
