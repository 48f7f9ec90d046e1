"""What the public methods mean, apart from how they are served: check, keep as a job, wait, answer."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from imagegateway.job.v1.job_record_pb2 import JobRecord
from imagegateway.jobs import states
from imagegateway.jobs.feed import ClosingError, TooSlowError
from imagegateway.jobs.list_query import Query, page_token
from imagegateway.jobs.stream_errors import OutcomeUnknownError, StaleError, unavailable
from imagegateway.outbound.url_guard import UrlRefusedError
from imagegateway.platform import ids
from imagegateway.platform.clock import unix_millis
from imagegateway.platform.errors import GatewayError, UnavailableError, invalid, unsupported
from imagegateway.platform.readiness import LASTING_SECONDS
from imagegateway.platform.supervision import cancel
from imagegateway.router import responses, sizes, validation
from imagegateway.router.call_context import STATUS, while_authorized
from imagegateway.router.input_images import MARKUP, MASK, Intake
from imagegateway.router.unrepeatable_errors import goes_on, readable, unreadable
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Sequence

    from imagegateway.jobs.engine import JobEngine
    from imagegateway.jobs.list_query import Page
    from imagegateway.jobs.stream import Entry
    from imagegateway.keys.provider_keys import ProviderKeys
    from imagegateway.media.decoding import DecodeGate
    from imagegateway.media.store import MediaStore
    from imagegateway.outbound.client import Outbound
    from imagegateway.platform.settings import Settings
    from imagegateway.provider.v1 import provider_service_pb2 as provider
    from imagegateway.router.call_context import Call
    from imagegateway.router.catalog import Catalog
    from imagegateway.router.responses import Answers, ImagesAnswer, Preview
    from imagegateway.router.validation import Plan
    from imagegateway.v1 import image_service_pb2 as pb

POLL_SECONDS: Final = 3
"""The pace that `Retry-After` tells pollers."""
_MAX_KEY: Final = 255
_PAGE_BYTES: Final = 1024 * 1024
"""Bytes of records after which a page of the job list ends, whatever its size was to be."""
_READ_AT_ONCE: Final = 10
_SILENT: Final = UnavailableError("the job store does not answer")


@dataclass(frozen=True, slots=True)
class JobPage:
    """A page of jobs, and the token of the next one (empty: none)."""

    entries: list[Entry]
    next_token: str


@dataclass(frozen=True, slots=True)
class Studio:
    """Everything that a call needs."""

    settings: Settings
    catalog: Catalog
    store: MediaStore
    outbound: Outbound
    engine: JobEngine
    answers: Answers
    provider_keys: ProviderKeys
    gate: DecodeGate

    def plan_generate(
        self, request: pb.GenerateRequest, call: Call, unknown: Sequence[str] = (), *, video: bool = False
    ) -> Plan:
        """Check a request for images from a prompt; `unknown` as in `plan.make`. `video`: only videos are made.

        Raises GatewayError naming the field.
        """
        made = validation.make(
            request,
            self.catalog,
            self.settings.default_video_model if video else self.settings.default_generate_model,
            call.preferences,
            unknown=unknown,
            byok=call.byok,
            stored=self.provider_keys.of(call.tenant),
            avoid=partial(self.engine.breakers.is_open, call.tenant),
        )
        if video and made.model.modality != "video":
            raise unsupported("model", f"{made.model.id} makes no videos; send it to /v1/images/generations.")
        _note(call, made)
        return made

    def intake(self, call: Call) -> Intake:
        """Return a context that takes in an edit's images; those that no job has taken over are deleted.

        Raises UnavailableError when no new job can be kept.
        """
        self.engine.readiness.require()
        return Intake(self.store, self.outbound, self.gate, call.tenant)

    async def plan_edit(
        self, request: pb.EditRequest, call: Call, intake: Intake, unknown: Sequence[str] = ()
    ) -> Plan:
        """Check an edit and take in what its fields name; `unknown` as in `plan.make`. Raises GatewayError."""
        made = validation.make(
            request,
            self.catalog,
            self.settings.default_edit_model,
            call.preferences,
            has_mask=intake.brings(request, MASK),
            has_markup=intake.brings(request, MARKUP),
            unknown=unknown,
            byok=call.byok,
            stored=self.provider_keys.of(call.tenant),
            avoid=partial(self.engine.breakers.is_open, call.tenant),
        )
        await intake.take_request(request)
        await intake.settle(made)
        first = made.task.inputs[0]
        sizes.fit_to_input(made, first.width, first.height)
        _note(call, made)
        return made

    async def submit(self, made: Plan, call: Call, intake: Intake | None = None) -> Entry:
        """Keep the work as a job, or join the one that its idempotency key names.

        Raises GatewayError, and UnavailableError when no new job can be kept.
        """
        self.engine.readiness.require()
        if made.webhook_url:
            await self._check_webhook(made.webhook_url, call.tenant)
        record = self._record(made, call)
        key = call.idempotency_key
        if key:
            if len(key) > _MAX_KEY:
                raise invalid("Idempotency-Key", f"An idempotency key has 1 to {_MAX_KEY} characters.")
            joined = await self._join(record, made, call.tenant, key)
            if joined:
                call.headers["x-job-id"] = joined.record.id
                return joined
        if intake:
            # Before the write: whoever goes away during it, the inputs stay as long as the job may exist.
            record.upload_keys.extend(intake.hand_over())
        try:
            entry = await self.engine.execution.submission.submit(record, has_idempotency_key=bool(key))
        except StaleError:  # a twin with the same key was faster
            joined = await self._present(record.id)
            if joined is None:
                raise unavailable() from None
            entry = joined
        call.headers["x-job-id"] = entry.record.id
        call.log["job_id"] = entry.record.id
        return entry

    async def run(self, made: Plan, call: Call, intake: Intake | None = None) -> ImagesAnswer:
        """Do the work; answer with the images, or with the job when it takes longer than the caller waits.

        The work goes on when the caller goes away. Raises GatewayError.
        """
        entry = await self.submit(made, call, intake)
        seconds = 0 if entry.ended else self._patience(made, call)
        if seconds > 0:
            try:
                async with call.authorized():
                    ended = await self._ended(entry.record, seconds)
                entry = ended or await self._newest(entry.record.id) or entry
            except OutcomeUnknownError:
                raise unreadable(entry.record, _SILENT) from None
        if not entry.ended:
            call.headers[STATUS] = "202"
            call.headers["location"] = f"/v1/jobs/{entry.record.id}"
            call.headers["retry-after"] = str(POLL_SECONDS)
            return self.answers.accepted(entry.record, self.engine.execution.admission.position(entry.record))
        return await self._answer(entry, made, call)

    async def watch(
        self, made: Plan, call: Call, intake: Intake | None = None
    ) -> AsyncGenerator[Preview | ImagesAnswer, None]:
        """Do the work: previews as they come, the answer last. Raises GatewayError."""
        entry = await self.submit(made, call, intake)
        shown = 0
        while not entry.ended:
            try:
                changes = self.engine.feed.changes(entry.record.id, entry.seq, LASTING_SECONDS, patient=True)
                async for change in while_authorized(call, changes):
                    if change is None:
                        if self.engine.readiness.in_trouble():
                            raise unreadable(entry.record, await self.engine.readiness.trouble())
                        continue
                    entry = change
                    for preview in entry.record.partial_images[shown:]:
                        async with self.answers.preview(entry.record, call, preview) as shown_now:
                            yield shown_now
                        shown += 1
            except TooSlowError:
                continue  # what was missed is read from the stream
            except ClosingError:
                raise goes_on(entry.record.id) from None
            except OutcomeUnknownError:
                raise unreadable(entry.record, _SILENT) from None
        for preview in entry.record.done.partial_images[shown:]:
            async with self.answers.preview(entry.record, call, preview) as shown_now:
                yield shown_now
        yield await self._answer(entry, made, call)

    async def job(self, job_id: str, call: Call) -> Entry:
        """A job of the caller's tenant. Raises GatewayError JOB_NOT_FOUND for another's, as for none."""
        entry = await self._read(job_id) if ids.is_job(job_id) else None
        if entry is None or entry.record.tenant != call.tenant:
            raise job_not_found(job_id)
        call.log["job_id"] = job_id
        return entry

    async def kept(self, change: Coroutine[Any, Any, Entry]) -> Entry:
        """Return a job whose change is kept.

        Raises GatewayError when the engine does not answer, or when 6 s have passed and a part is in lasting trouble.
        A change that its owner completes goes on then.
        """
        writing = asyncio.create_task(change)
        trouble = asyncio.create_task(self.engine.readiness.trouble())
        try:
            await asyncio.wait({writing}, timeout=LASTING_SECONDS)
            await asyncio.wait({writing, trouble}, return_when=asyncio.FIRST_COMPLETED)
            if writing.done():
                return writing.result()
            raise UnavailableError(str(trouble.result()))
        except OutcomeUnknownError:
            raise unavailable() from None
        finally:
            await cancel(writing, trouble)

    async def page(self, tenant: str, status: str, model: str, size: int, token: str) -> JobPage:
        """A page of a tenant's jobs, newest first, each read from the engine. Raises GatewayError."""
        try:
            await self.engine.feed.catch_up()
            found = await self.engine.index.page(Query(tenant, status, model, size, token))
            return await self._page(found)
        except OutcomeUnknownError:
            raise unavailable() from None

    async def _page(self, found: Page) -> JobPage:
        """Read jobs until they are `_PAGE_BYTES` large; the rest is on the next page."""
        entries: list[Entry] = []
        size = 0
        for start in range(0, len(found.ids), _READ_AT_ONCE):
            ids = found.ids[start : start + _READ_AT_ONCE]
            read = await asyncio.gather(*(self.engine.stream.last(job_id) for job_id in ids))
            entries += [entry for entry in read if entry]
            size = sum(entry.record.ByteSize() for entry in entries)
            if size > _PAGE_BYTES and start + _READ_AT_ONCE < len(found.ids):
                last = entries[-1].record
                return JobPage(entries, page_token(last.created_at, last.id))
        return JobPage(entries, found.next_token)

    async def _ended(self, record: JobRecord, seconds: float) -> Entry | None:
        """Return the job's end; None when it does not come in time. Raises GatewayError in lasting trouble."""
        ended = asyncio.create_task(self.engine.feed.ended(record.id, seconds))
        trouble = asyncio.create_task(self.engine.readiness.trouble())
        try:
            await asyncio.wait({ended, trouble}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                return ended.result()
            raise unreadable(record, trouble.result())
        finally:
            await cancel(ended, trouble)

    async def _read(self, job_id: str) -> Entry:
        entry = await self._present(job_id)
        if entry is None:
            raise job_not_found(job_id)
        return entry

    async def _present(self, job_id: str) -> Entry | None:
        try:
            return await self._newest(job_id)
        except OutcomeUnknownError:
            raise unavailable() from None

    async def _newest(self, job_id: str) -> Entry | None:
        """Return a job as the stream has it. Raises OutcomeUnknownError."""
        # A leader that has just been voted out may still answer, without what its successor knows.
        return await self.engine.stream.last(job_id) or await self.engine.stream.last(job_id)

    async def _answer(self, entry: Entry, made: Plan, call: Call) -> ImagesAnswer:
        record = entry.record
        call.log["provider"] = call.headers["x-imagegateway-provider"] = record.task.route
        call.log["provider_ms"] = record.completed_at - record.started_at
        if record.state != states.COMPLETED:
            raise responses.failure(record)
        call.log["image_count"] = len(record.done.artifacts)
        call.log["bytes"] = sum(artifact.media.size for artifact in record.done.artifacts)
        with readable(record):
            return await self.answers.images(record, call, b64_json=made.b64_json)

    async def _join(self, record: JobRecord, made: Plan, tenant: str, key: str) -> Entry | None:
        """The job that a key already stands for; None when the key is new, and now `record`'s."""
        for ref in _inputs(record.task):
            ref.sha256 = await self.store.digest(ref.key)
        digest = _digest(record, made)
        claim = await self.engine.idempotency.claim(tenant, key, record.id, digest)
        if claim.request_digest != digest:
            raise GatewayError(
                ErrorReason.ERROR_REASON_IDEMPOTENCY_KEY_MISMATCH,
                "This idempotency key was used with another request.",
                param="Idempotency-Key",
            )
        if claim.mine:
            return None
        # Its first bearer may have failed before the job was written: then this call writes it.
        record.id = claim.job_id
        return await self._present(claim.job_id)

    def _record(self, made: Plan, call: Call) -> JobRecord:
        now = unix_millis()
        record = JobRecord(
            id=ids.job(),
            tenant=call.tenant,
            type=made.type,
            modality=made.model.modality,
            family=made.model.family,
            task=made.task,
            created_at=now,
            deadline=now + round(self.settings.job_deadline * 1000),
            warnings=made.warnings,
            metadata=made.metadata,
            repeatable=made.route.idempotent,
            slots=made.route.slots(made.task.n),
            request_id=call.request_id,
        )
        credential = call.byok.get(made.route.name)
        if credential:
            record.sealed_credential = self.engine.credentials.seal(credential)
        # A copy for each route that may come to serve it: what is deleted or replaced later changes nothing.
        for route in made.model.routes:
            if route.name in made.stored:
                key = self.provider_keys.reveal(call.tenant, route.name, made.stored[route.name])
                record.sealed_keys[route.name] = self.engine.credentials.seal(key)
        record.key_fingerprint = self.engine.credentials.account(record, made.route)
        if made.webhook_url:
            record.webhook.url = made.webhook_url
        return record

    async def _check_webhook(self, url: str, tenant: str) -> None:
        """Raises GatewayError for a URL that would never be called."""
        try:
            await self.outbound.check(url, tenant)
        except UrlRefusedError as error:
            raise invalid("webhook_url", f"webhook_url can't be called: {error.reason}.") from None

    def _patience(self, made: Plan, call: Call) -> float:
        """Seconds that the answer is held for the images."""
        preferences = call.preferences
        if preferences.respond_async:
            call.headers["preference-applied"] = "respond-async"
            return 0
        if preferences.wait is not None:
            call.headers["preference-applied"] = f"wait={preferences.wait}"
            return preferences.wait
        held = made.inline or (self.settings.sdk_hold and call.needs_images)
        return self.settings.inline_wait if held else 0


def job_not_found(job_id: str) -> GatewayError:
    """There is no such job for this tenant."""
    return GatewayError(ErrorReason.ERROR_REASON_JOB_NOT_FOUND, f"There is no job {job_id[:60]!r}.", param="job_id")


def _inputs(task: provider.ImageTask) -> list[provider.MediaRef]:
    """Return the references of all images that a task works from."""
    guides = [task.mask] * task.HasField("mask") + [task.markup] * task.HasField("markup")
    return [*task.inputs, *guides]


def _digest(record: JobRecord, made: Plan) -> str:
    """What makes two requests the same: all that was asked for; of input pictures, their content."""
    task = record.task.__class__()
    task.CopyFrom(record.task)
    task.ClearField("route")  # which one is the gateway's choice: keys and health may have changed since
    for ref in _inputs(task):
        ref.ClearField("key")
    task.ClearField("strict")  # a preference, as how long the caller waits
    parts = (
        task.SerializeToString(deterministic=True),
        repr(sorted(record.metadata.items())).encode(),
        repr((record.type, made.b64_json, made.stream, made.webhook_url)).encode(),
    )
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _note(call: Call, made: Plan) -> None:
    call.log["model"] = made.model.id
    call.log["provider"] = made.route.name
    call.headers["x-imagegateway-provider"] = made.route.name
