"""Client of the job API over REST, for one tenant."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from tests.gateway import rest
from tests.gateway.rest import GENERATIONS, SMALL, Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.stack import Stack

ASYNC: Final = {"prefer": "respond-async"}
ENDED: Final = frozenset({"completed", "failed", "cancelled"})
JOB_SECONDS: Final = 60.0
"""Deadline in seconds for a job of a few seconds."""
NO_JOB: Final = "job_00000000000000000000000000"


@dataclass(frozen=True, slots=True)
class Caller:
    """One key of one tenant."""

    stack: Stack
    key: str

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | dict[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        return rest.ask(self.stack, method, path, body, headers, key=self.key)

    def generate(self, headers: Mapping[str, str] | None = None, **fields: Any) -> Answer:
        """POST a small generation; `fields` add to the request or replace parts of it."""
        return self.ask("POST", GENERATIONS, {**SMALL, **fields}, headers)

    def submit(self, delay: float = 0, headers: Mapping[str, str] | None = None, **fields: Any) -> str:
        """Start a job and return its id."""
        options = {"provider_options": {"delay": delay}} if delay else {}
        answer = self.generate({**ASYNC, **(headers or {})}, **{**options, **fields})
        assert answer.status == 202, answer.body
        job_id: str = answer.json()["id"]
        return job_id

    def job(self, job_id: str) -> dict[str, Any]:
        answer = self.ask("GET", f"/v1/jobs/{job_id}")
        assert answer.status == 200, answer.body
        job: dict[str, Any] = answer.json()
        return job

    def end(self, job_id: str, seconds: float = JOB_SECONDS) -> dict[str, Any]:
        """Wait for the job's end, also over outages of the gateway. Return the job."""
        deadline = time.monotonic() + seconds
        seen: object = None
        while time.monotonic() < deadline:
            try:
                answer = self.ask("GET", f"/v1/jobs/{job_id}", headers={"prefer": "wait=5"})
            except OSError as error:
                seen = error
            else:
                assert answer.status in {200, 502, 503}, answer.body
                if answer.status == 200:
                    job: dict[str, Any] = answer.json()
                    if job["status"] in ENDED:
                        return job
                seen = answer.body
            time.sleep(0.1)
        raise AssertionError(f"{job_id} has not ended after {seconds:g} s: {seen!r}")

    def until(self, job_id: str, status: str, seconds: float = JOB_SECONDS) -> dict[str, Any]:
        """Wait until the job has a status. Return the job."""
        deadline = time.monotonic() + seconds
        while (job := self.job(job_id))["status"] != status:
            assert time.monotonic() < deadline, job
            assert job["status"] not in ENDED, job
            time.sleep(0.05)
        return job

    def cancel(self, job_id: str) -> dict[str, Any]:
        answer = self.ask("DELETE", f"/v1/jobs/{job_id}")
        assert answer.status == 200, answer.body
        job: dict[str, Any] = answer.json()
        return job

    def page(self, **query: str | int) -> dict[str, Any]:
        answer = self.ask("GET", f"/v1/jobs?{urlencode(query)}")
        assert answer.status == 200, answer.body
        document: dict[str, Any] = answer.json()
        return document

    def jobs(self, **query: str | int) -> list[dict[str, Any]]:
        """Return the whole list, read page by page."""
        found: list[dict[str, Any]] = []
        token = ""
        while True:
            document = self.page(**query, **({"page_token": token} if token else {}))
            found += document["data"]
            token = document.get("next_page_token", "")
            if not token:
                return found

    def fetch(self, url: str) -> bytes:
        """Return the bytes behind a signed link, after checking its ETag."""
        answer = rest.ask(self.stack, "GET", rest.link(self.stack, url), key="")
        assert answer.status == 200, answer.body[:500]
        assert answer.headers["etag"] == f'"{hashlib.sha256(answer.body).hexdigest()}"'
        return answer.body


def marked(mark: str) -> dict[str, str]:
    """Return metadata by which a test finds its own jobs in a shared list."""
    return {"mark": mark}


def with_mark(jobs: list[dict[str, Any]], mark: str) -> list[dict[str, Any]]:
    return [job for job in jobs if job.get("metadata", {}).get("mark") == mark]
