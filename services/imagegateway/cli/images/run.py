"""Run of a request on the command line: plan, or submit, wait, save and report."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from imagegateway.cli.client import Client, UnreachableError
from imagegateway.cli.errors import CommandError
from imagegateway.cli.images import job as jobs
from imagegateway.cli.images import progress
from imagegateway.cli.images.following import Follower
from imagegateway.cli.images.interruption import hint_on_interrupt
from imagegateway.cli.images.results import Results, warn
from imagegateway.cli.terminal import console, print_document, print_fields

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagegateway.cli.images.job import Job
    from imagegateway.cli.images.options import ResultOptions, RunOptions
    from imagegateway.cli.images.submission import Request
    from imagegateway.cli.target import Connection


def run(connection: Connection, request: Request, options: RunOptions, command: str) -> None:
    """Run a request as the options say. Raises UsageError, CommandError, and SystemExit after Ctrl-C."""
    with Client.connect(connection) as client:
        if options.dry_run:
            _print_plan(request.plan(client), as_json=options.json)
            return
        job_run = JobRun(client, connection, options)
        if options.detached:
            job_run.detach(request, options.idempotency_key)
        else:
            options.check(request.fields.get("n", 1), command)
            job_run.complete(lambda: request.submit(client, options.idempotency_key))


class JobRun:
    """Run of one job: wait for its end, save and report its results."""

    def __init__(self, client: Client, connection: Connection, options: ResultOptions) -> None:
        self._client = client
        self._connection = connection
        self._options = options
        self._job: Job | None = None

    def detach(self, request: Request, idempotency_key: str | None) -> None:
        """Submit a request, and print its job without a wait."""
        with hint_on_interrupt(self._hint):
            job = request.submit(self._client, idempotency_key)
        if self._options.json:
            print_document(job)
        else:
            warn(job)
            print(job["id"])

    def complete(self, obtain: Callable[[], Job]) -> None:
        """Obtain a job, wait for its end, save and report its results.

        Raises CommandError, with the way back to the job after a lost connection.
        """
        results = Results(self._client, self._options)
        with hint_on_interrupt(self._hint), progress.display(console(errors=True)) as display:
            try:
                self._job = obtain()
                job = Follower(self._client, display).wait(self._job)
                paths = results.save(job, display)
            except UnreachableError as error:
                if self._job is None:
                    raise
                command = f"imagegateway jobs watch {self._job['id']}"
                raise CommandError(f"{error}; job {self._job['id']} goes on: `{command}`") from None
        results.report(job, paths)

    def _hint(self) -> str:
        if self._job is None:
            return "The request may have reached the gateway: `imagegateway jobs list` shows its job."
        return self._way_back(self._job)

    def _way_back(self, job: Job) -> str:
        """Return the commands that wait for the job again, and that end it."""
        place = ["--url", self._connection.url] if self._connection.url else []
        output = ["--output", self._options.output] if self._options.output else []
        watch, cancel = (["imagegateway", "jobs", action, job["id"]] for action in ("watch", "cancel"))
        return (
            f"Job {job['id']} goes on. Get back to it, or cancel it:\n"
            f"  {shlex.join([*watch, *output, *place])}\n"
            f"  {shlex.join([*cancel, *place])}"
        )


def _print_plan(plan: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_document(plan)
        return
    shown = {
        "model": plan["model"],
        "provider": plan["provider"],
        "size": plan.get("size", ""),
        "number": str(plan.get("n", 1)),
        "seconds": f"{plan['seconds']:g}" if "seconds" in plan else "",
        "cost": jobs.cost(plan.get("estimated_cost")) or "unknown",
    }
    print_fields({name: text for name, text in shown.items() if text})
    warn(plan)
