"""`imagegateway jobs`: jobs of the key's tenant, and their files."""

from __future__ import annotations

import re
import sys
import time
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import App, Parameter
from imagegateway.cli.client import Client
from imagegateway.cli.errors import CommandError, UsageError
from imagegateway.cli.images import job as jobs
from imagegateway.cli.images.options import ResultOptions
from imagegateway.cli.images.results import warn
from imagegateway.cli.images.run import JobRun
from imagegateway.cli.options import Json
from imagegateway.cli.target import Connection
from imagegateway.cli.terminal import print_document, print_fields, print_table, when
from imagegateway.platform.printable import printable

if TYPE_CHECKING:
    from imagegateway.cli.images.job import Job

_EXAMPLES = """
Examples:
  imagegateway jobs list --status failed
  imagegateway jobs watch job_01jqzx5t9r8f3k2qab7c6d5e4f --output fox.png
  imagegateway jobs download job_01jqzx5t9r8f3k2qab7c6d5e4f --output results/
"""
_JOB_ID: Final = re.compile(r"job_[0-9A-Za-z]{1,64}")
_PAGE: Final = 100
_PROMPT_CHARACTERS: Final = 40
app = App(name="jobs", help_epilogue=_EXAMPLES)

JobId = Annotated[str, Parameter(help="The job's id, such as job_01jqzx5t9r8f3k2qab7c6d5e4f.")]


@app.command(sort_key=1, name="list")
def list_jobs(
    *,
    status: Annotated[str, Parameter(help="Only queued, running, completed, failed or cancelled ones.")] = "",
    model: Annotated[str, Parameter(("--model", "-m"), help="Only jobs of this model.")] = "",
    limit: Annotated[int, Parameter(help="Number of jobs.")] = 20,
    json: Json = False,
    connection: Connection = Connection(),
) -> None:
    """List jobs, newest first."""
    if limit < 1:
        raise UsageError("--limit starts at 1", "jobs list")
    filters = {name: value for name, value in (("status", status), ("model", model)) if value}
    with Client.connect(connection) as client:
        found = list(islice(client.pages("/v1/jobs", {**filters, "page_size": min(limit, _PAGE)}), limit))
    if json:
        print_document({"object": "list", "data": found})
    else:
        print_table(("id", "age", "status", "model", "cost", "prompt"), map(_row, found))


@app.command(sort_key=2)
def show(job_id: JobId, /, *, json: Json = False, connection: Connection = Connection()) -> None:
    """Show a job with its request, its files and its cost."""
    with Client.connect(connection) as client:
        _show(_get(client, job_id), as_json=json)


@app.command(sort_key=3)
def watch(
    job_id: JobId,
    /,
    *,
    options: ResultOptions = ResultOptions(),
    connection: Connection = Connection(),
) -> None:
    """Wait for a job's end, and save its files."""
    with Client.connect(connection) as client:
        job = _get(client, job_id)
        options.check(job.get("request", {}).get("n", 1), "jobs watch")
        JobRun(client, connection, options).complete(lambda: job)


@app.command(sort_key=4)
def download(
    job_id: JobId,
    /,
    *,
    options: ResultOptions = ResultOptions(),
    connection: Connection = Connection(),
) -> None:
    """Save the files of a completed job."""
    with Client.connect(connection) as client:
        job = _get(client, job_id)
        if not jobs.has_ended(job):
            raise CommandError(
                f"job {job_id} is {jobs.status(job)}: wait for it with `imagegateway jobs watch {job_id}`"
            )
        options.check(len(jobs.filenames(job)), "jobs download")
        JobRun(client, connection, options).complete(lambda: job)


@app.command(sort_key=5)
def cancel(job_id: JobId, /, *, json: Json = False, connection: Connection = Connection()) -> None:
    """Cancel a job, at the provider too if its API can."""
    with Client.connect(connection) as client:
        job = client.call("POST", f"{_path(job_id)}/cancel")
    if json:
        print_document(job)
    elif job["status"] == "cancelled":
        print(f"{job['id']} is cancelled")
    else:
        raise CommandError(f"job {job['id']} is {jobs.status(job)}: too late to cancel it")


@app.command(sort_key=6)
def erase(
    job_id: JobId,
    /,
    *,
    yes: Annotated[bool, Parameter(("--yes", "-y"), help="Do not ask.")] = False,
    json: Json = False,
    connection: Connection = Connection(),
) -> None:
    """Delete a job's prompt, inputs and files for good. Status, times and cost remain."""
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("erasing is final: confirm it with --yes", "jobs erase")
        print(
            f"Delete prompt, inputs and files of {printable(job_id)} for good? [y/N] ",
            end="",
            file=sys.stderr,
            flush=True,
        )
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            raise CommandError("nothing is erased")
    with Client.connect(connection) as client:
        job = client.call("POST", f"{_path(job_id)}/erase")
    if json:
        print_document(job)
    else:
        print(f"{job['id']} is erased")


def _path(job_id: str) -> str:
    """Return the job's path. Raises UsageError for a text that is no job id."""
    if not _JOB_ID.fullmatch(job_id):
        raise UsageError(f"{job_id!r} is no job id, such as job_01jqzx5t9r8f3k2qab7c6d5e4f", "jobs")
    return f"/v1/jobs/{job_id}"


def _get(client: Client, job_id: str) -> Job:
    return client.call("GET", _path(job_id))


def _row(job: Job) -> tuple[str, ...]:
    prompt = jobs.prompt(job)
    shown = prompt if len(prompt) <= _PROMPT_CHARACTERS else f"{prompt[: _PROMPT_CHARACTERS - 1]}…"
    return job["id"], jobs.age(job, time.time()), jobs.status(job), job["model"], jobs.cost(job.get("cost")), shown


def _show(job: Job, *, as_json: bool) -> None:
    if as_json:
        print_document(job)
        return
    request = {name: str(value) for name, value in job.get("request", {}).items()}
    error = job.get("error", {})
    fields = {
        "id": job["id"],
        "type": job["type"],
        "status": jobs.status(job),
        "model": job["model"],
        "provider": job.get("provider", ""),
        **request,
        "created": when(job["created_at"]),
        "ended": when(job.get("completed_at", 0)),
        "time": jobs.duration(job),
        "cost": jobs.cost(job.get("cost")),
        "error": f"{error['message']} [{error['code']}]" if error else "",
        "erased": when(job.get("erased_at", 0)),
        **{f"metadata.{name}": value for name, value in job.get("metadata", {}).items()},
        **{
            f"file {index + 1}": entry.get("url", "")
            for index, entry in enumerate(job.get("result", {}).get("data", []))
        },
        "files until": when(job.get("expires_at", 0)) if jobs.filenames(job) else "",
    }
    print_fields({name: text for name, text in fields.items() if text})
    warn(job)
