"""Run of a request on the command line: plan, or submit, wait, save and report."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from imagegateway.cli.client import ApiError, Client, UnreachableError
from imagegateway.cli.errors import CommandError
from imagegateway.cli.images import job as jobs
from imagegateway.cli.images import progress
from imagegateway.cli.images.following import Follower, is_transient
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
                self._job = Follower(self._client, display).wait(self._job)
                paths = results.save(self._job, display)
            except (ApiError, UnreachableError) as error:
                if self._job is None or not is_transient(error):
                    raise
                raise CommandError(f"{error}; {_state(self._job)}: `{self._command('watch', self._job)}`") from None
        results.report(self._job, paths)

    def _hint(self) -> str:
        """Return the commands that wait for the job again, and that cancel it."""
        if self._job is None:
            return "The request may have reached the gateway: `imagegateway jobs list` shows its job."
        commands = ["watch"] if jobs.has_ended(self._job) else ["watch", "cancel"]
        lines = [f"  {self._command(action, self._job)}" for action in commands]
        state = _state(self._job)
        return "\n".join([f"{state[0].upper()}{state[1:]}:", *lines])

    def _command(self, action: str, job: Job) -> str:
        """Return a command on the job, with the options that name its gateway and its destination."""
        place = ["--url", self._connection.url] if self._connection.url else []
        output = ["--output", self._options.output] if self._options.output and action == "watch" else []
        return shlex.join(["imagegateway", "jobs", action, job["id"], *output, *place])


def _state(job: Job) -> str:
    """Return the state of a job after the end of the command that waited, as a clause."""
    return f"the files of job {job['id']} are kept" if jobs.has_ended(job) else f"job {job['id']} goes on"


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
