"""Usage over REST and gRPC: a tenant's own, an administrator's view of all, CSV, and erased jobs."""

from __future__ import annotations

import csv
import io
import re
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import grpc
import pytest
from imagegateway.keys.policy import ALL_SCOPES
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import image_service_pb2_grpc as pb_grpc
from imagegateway.v1 import usage_service_pb2, usage_service_pb2_grpc

from tests.gateway import cases, rest
from tests.gateway.jobs.stacks import new_caller
from tests.gateway.rest import assert_error
from tests.support.files import holding
from tests.support.stack import eventually

DAY = 86_400

if TYPE_CHECKING:
    from tests.gateway.jobs.calls import Caller
    from tests.support.stack import Stack


def report(caller: Caller, **parameters: Any) -> dict[str, Any]:
    answer = caller.ask("GET", f"/v1/usage?{urlencode(parameters)}")
    assert answer.status == 200, answer.body
    document: dict[str, Any] = answer.json()
    return document


@pytest.fixture
def admin(stack: Stack) -> Caller:
    return new_caller(stack, "usage-admin", scopes=ALL_SCOPES)


def test_usage_counts_requests_images_and_failures(fresh: Caller) -> None:
    fresh.generate(n=2, metadata={"team": "red"}, user="u-1")
    fresh.generate(metadata={"team": "blue"})
    assert fresh.generate(provider_options={"fail": "provider_error"}).status >= 400
    document = report(fresh, group_by="metadata.team")
    assert document["object"] == "list"
    assert [(row["metadata"]["team"], row["requests"], row["images"], row["failed"]) for row in document["data"]] == [
        ("", 1, 0, 1),
        ("blue", 1, 1, 0),
        ("red", 1, 2, 0),
    ]
    total = document["total"]
    assert (total["requests"], total["images"], total["failed"]) == (3, 3, 1)
    assert total["cost"]["currency"] == "USD"
    by_user = report(fresh, group_by="user,model")
    assert {(row["user"], row["model"]) for row in by_user["data"]} == {("", "local/sketch"), ("u-1", "local/sketch")}


def test_pages_of_usage_join(fresh: Caller) -> None:
    for name in ("a", "b", "c"):
        fresh.generate(user=name)
    first = report(fresh, group_by="user", page_size=2)
    second = report(fresh, group_by="user", page_size=2, page_token=first["next_page_token"])
    assert [row["user"] for row in (*first["data"], *second["data"])] == ["a", "b", "c"]
    assert "next_page_token" not in second or second["next_page_token"] == ""
    assert first["total"] == second["total"]


def test_tenants_see_their_own_usage_and_administrators_all(fresh: Caller, admin: Caller) -> None:
    fresh.generate()
    tenants = [row["tenant"] for row in report(admin, group_by="tenant", page_size=1000)["data"]]
    (own,) = report(fresh, group_by="key")["data"]
    matching = [name for name in tenants if report(admin, tenant=name, group_by="key")["data"] == [own]]
    assert len(matching) == 1
    assert report(fresh, tenant=matching[0])["total"]["requests"] == 1
    for query in ("tenant=usage-admin", "group_by=tenant"):
        answer = fresh.ask("GET", f"/v1/usage?{query}")
        assert_error(answer, 403, "insufficient_scope", query.partition("=")[0], "permission_error")


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("start=soon", "start"),
        ("end=2026-13-01", "end"),
        ("group_by=colour", "group_by"),
        ("page_token=x", "page_token"),
    ],
)
def test_invalid_parameter_of_usage_is_named(fresh: Caller, query: str, param: str) -> None:
    assert_error(fresh.ask("GET", f"/v1/usage?{query}"), 400, "invalid_value", param)


def test_usage_as_csv(fresh: Caller) -> None:
    fresh.generate(n=2, user="=cmd()")
    answer = fresh.ask("GET", "/v1/usage?group_by=user,day", headers={"accept": "text/csv"})
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    header, row = csv.reader(io.StringIO(answer.body.decode(), newline=""))
    assert header == ["day", "user", "requests", "images", "failed", "cost", "currency"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", row[0])
    assert row[1:5] == ["'=cmd()", "1", "2", "0"]


def test_usage_and_erasure_over_grpc(stack: Stack, fresh: Caller) -> None:
    job_id = fresh.generate().json()["id"]
    metadata = (("authorization", f"Bearer {fresh.key}"),)
    with cases.channel(stack) as channel:
        usage = usage_service_pb2_grpc.UsageServiceStub(channel)
        response = usage.GetUsage(usage_service_pb2.GetUsageRequest(group_by="model"), metadata=metadata)
        assert [(row.model, row.requests) for row in response.data] == [("local/sketch", 1)]
        images = pb_grpc.ImageServiceStub(channel)
        assert images.EraseJob(pb.EraseJobRequest(job_id=job_id), metadata=metadata).erased_at
        with pytest.raises(grpc.RpcError):
            images.EraseJob(pb.EraseJobRequest(job_id="job_0"), metadata=metadata)


def test_erased_job_has_no_content_and_keeps_its_usage(stack: Stack, fresh: Caller) -> None:
    secret = "a-prompt-to-forget"
    made = fresh.generate(prompt=secret, user=secret, metadata={"note": secret}).json()
    link = rest.link(stack, made["data"][0]["url"])
    job = fresh.job(made["id"])
    assert job["request"] == {"prompt": secret, "n": 1, "size": "64x64", "user": secret}
    assert fresh.ask("GET", link).status == 200
    before = report(fresh)["total"]

    for _ in range(2):
        answer = fresh.ask("POST", f"/v1/jobs/{made['id']}/erase")
        assert answer.status == 200, answer.body
        assert secret.encode() not in answer.body
    erased = fresh.job(made["id"])
    assert (erased["status"], erased["model"], erased["completed_at"]) == (
        "completed",
        "local/sketch",
        job["completed_at"],
    )
    assert not {"request", "result", "result_url", "metadata"} & erased.keys()
    assert fresh.ask("GET", link).status == 404
    files = fresh.ask("GET", f"/v1/files/jobs/{made['id']}/0.png")
    assert files.status in {404, 410}
    assert report(fresh)["total"] == before
    assert [row["user"] for row in report(fresh, group_by="user")["data"]] == [""]
    eventually(lambda: holding(stack.data_dir, secret) == [], 10, "no file holds the content")


def test_running_job_is_not_erased(fresh: Caller) -> None:
    job_id = fresh.submit(60)
    fresh.until(job_id, "running")
    assert_error(fresh.ask("POST", f"/v1/jobs/{job_id}/erase"), 400, "unsupported_parameter", "job_id")
    fresh.cancel(job_id)
    fresh.end(job_id)
    erased = partial(fresh.ask, "POST", f"/v1/jobs/{job_id}/erase")
    eventually(lambda: erased().status == 200, 30, "the provider has confirmed the cancellation")
    assert erased().json()["status"] == "cancelled"


def test_retention_of_a_tenant_applies_to_its_new_jobs(stack: Stack, admin: Caller) -> None:
    tenant = new_caller(stack, "retention-tenant")
    before = tenant.job(tenant.generate().json()["id"])
    assert before["expires_at"] - before["completed_at"] == 7 * DAY
    answer = admin.ask("PATCH", "/v1/admin/tenants/retention-tenant", {"media_days": 2})
    assert answer.status == 200, answer.body

    def lifetime() -> int:
        job = tenant.job(tenant.generate().json()["id"])
        return int(job["expires_at"] - job["completed_at"])

    eventually(lambda: lifetime() == 2 * DAY, 10, "the routers follow the tenant's policy")
    assert tenant.job(before["id"])["expires_at"] == before["expires_at"], "an earlier job keeps its retention"
