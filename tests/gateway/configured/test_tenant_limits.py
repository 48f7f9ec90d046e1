"""Settings of tenants: concurrent jobs, and the time for which a response waits for its images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.gateway.jobs import wire
from tests.gateway.jobs.calls import Caller
from tests.gateway.jobs.stacks import new_caller

if TYPE_CHECKING:
    from tests.support.stack import Stack


def test_inline_wait_that_is_over_becomes_a_202_by_itself(configured: Stack) -> None:
    caller = Caller(configured, configured.key)
    answer = caller.generate(provider_options={"delay": 3})
    assert answer.status == 202, answer.body
    job_id = answer.json()["id"]
    assert answer.headers["location"] == f"/v1/jobs/{job_id}"
    assert "preference-applied" not in answer.headers
    assert caller.end(job_id)["status"] == "completed"
    answer = caller.generate({"prefer": "wait=30"}, provider_options={"delay": 1.3})  # who asks to wait, may
    assert answer.status == 200, answer.body
    with wire.public(caller) as stub:
        request = wire.small(provider_options={"delay": 30})
        made = stub.Generate(request, metadata=wire.metadata(caller), timeout=wire.SECONDS)
    assert (made.object, made.status) == ("job", "running")
    caller.cancel(made.id)


def test_concurrent_jobs_of_a_tenant_stay_within_its_limit(configured: Stack) -> None:
    greedy, modest = new_caller(configured, "greedy"), new_caller(configured, "modest")
    made = [greedy.submit(30) for _ in range(5)]
    assert modest.end(modest.submit(0.2))["status"] == "completed"
    assert [greedy.job(job_id)["status"] for job_id in made] == ["running"] * 2 + ["queued"] * 3
    greedy.cancel(made[0])
    greedy.until(made[2], "running")
    assert greedy.job(made[3])["status"] == "queued"
    for job_id in made:
        greedy.cancel(job_id)
