"""Plan submission: writes a plan as a job, or joins the job of its idempotency key."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from imagegateway.job.v1.job_record_pb2 import JobRecord
from imagegateway.jobs import job_trace
from imagegateway.jobs.stream_errors import StaleError, unavailable
from imagegateway.outbound.url_guard import UrlRefusedError
from imagegateway.platform import ids
from imagegateway.platform.clock import unix_millis
from imagegateway.platform.errors import GatewayError, invalid
from imagegateway.router import costs
from imagegateway.router.budget_header import show_budget
from imagegateway.router.job_errors import engine_errors
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from imagegateway.jobs.retention import RetentionPolicies
    from imagegateway.jobs.stream import Entry
    from imagegateway.keys.provider_keys import ProviderKeys
    from imagegateway.media.store import MediaStore
    from imagegateway.outbound.client import Outbound
    from imagegateway.provider.v1 import provider_service_pb2 as provider
    from imagegateway.router.call_context import Call
    from imagegateway.router.call_limiter import CallLimiter
    from imagegateway.router.catalog import Catalog
    from imagegateway.router.input_images import InputImages
    from imagegateway.router.job_lookup import JobLookup
    from imagegateway.router.ports import BudgetView, CredentialSealer, IdempotencyClaims, JobSubmitter, ReadinessGate
    from imagegateway.router.validation.plan import Plan
    from imagegateway.v1.job_pb2 import Cost

_MAX_KEY: Final = 255


class PlanSubmission:
    """Submission of plans as jobs. `deadline_seconds`: maximum duration of a job."""

    def __init__(
        self,
        *,
        submitter: JobSubmitter,
        budgets: BudgetView,
        claims: IdempotencyClaims,
        lookup: JobLookup,
        limiter: CallLimiter,
        readiness: ReadinessGate,
        sealer: CredentialSealer,
        provider_keys: ProviderKeys,
        store: MediaStore,
        outbound: Outbound,
        catalog: Catalog,
        retention: RetentionPolicies,
        deadline_seconds: float,
    ) -> None:
        self._submitter = submitter
        self._budgets = budgets
        self._claims = claims
        self._lookup = lookup
        self._limiter = limiter
        self._readiness = readiness
        self._sealer = sealer
        self._provider_keys = provider_keys
        self._store = store
        self._outbound = outbound
        self._catalog = catalog
        self._retention = retention
        self._deadline_seconds = deadline_seconds

    async def submit(self, plan: Plan, call: Call, inputs: InputImages | None = None) -> Entry:
        """Write a job and return it, or return the job that the call's idempotency key names.

        Raises GatewayError, and UnavailableError when no new job can be kept.
        """
        await self._check(plan, call)
        record = self.new_record(plan, call)
        key = call.idempotency_key
        if key:
            joined = await self._join(record, plan, call.tenant, key)
            if joined:
                call.headers["x-job-id"] = joined.record.id
                call.name_job(joined.record.id)
                return joined
        try:
            async with self._limiter.hold(call.headers, call.caller, plan.task.n):
                if inputs:
                    # Before the write: even when the caller disconnects, the inputs stay while the job may exist.
                    record.upload_keys.extend(inputs.release())
                try:
                    entry = await self._submitter.submit(record, has_idempotency_key=bool(key))
                finally:
                    show_budget(call, self._budgets.left(record))
        except StaleError:  # a concurrent call with the same key was faster
            joined = await self._find(record.id)
            if joined is None:
                raise unavailable() from None
            entry = joined
        call.headers["x-job-id"] = entry.record.id
        call.name_job(entry.record.id)
        return entry

    async def preview(self, plan: Plan, call: Call) -> Cost | None:
        """Return the expected cost of a plan without a job; None for an unknown price. Raises as `submit` does."""
        await self._check(plan, call)
        expected = costs.estimate(plan, self._catalog)
        record = JobRecord(tenant=call.tenant, key_id=call.caller.id, task=plan.task)
        if expected is not None:
            record.estimate.CopyFrom(expected)
        await self._budgets.check(record)
        show_budget(call, self._budgets.left(record))
        return expected

    async def _check(self, plan: Plan, call: Call) -> None:
        self._readiness.require()
        if plan.webhook_url:
            await self._check_webhook(plan.webhook_url, call.tenant)
        if len(call.idempotency_key) > _MAX_KEY:
            raise invalid("Idempotency-Key", f"An idempotency key has 1 to {_MAX_KEY} characters.")

    def new_record(self, plan: Plan, call: Call) -> JobRecord:
        """Return the record of a new job."""
        created_at = unix_millis()
        record = JobRecord(
            id=ids.job(),
            tenant=call.tenant,
            key_id=call.caller.id,
            type=plan.job_type,
            modality=plan.model.modality,
            family=plan.model.family,
            task=plan.task,
            created_at=created_at,
            deadline=created_at + round(self._deadline_seconds * 1000),
            warnings=plan.warnings,
            metadata=plan.metadata,
            repeatable=plan.route.idempotent,
            slots=plan.route.slots(plan.task.n),
            request_id=call.request_id,
            estimate=costs.estimate(plan, self._catalog),
        )
        self._retention.apply(record)
        job_trace.begin(record)
        credential = call.byok.get(plan.route.name)
        if credential:
            record.sealed_credential = self._sealer.seal(credential)
        # A copy for each route that may serve the job: later changes of the stored keys do not affect the job.
        for route in plan.model.routes:
            if route.name in plan.stored_keys:
                key = self._provider_keys.reveal(call.tenant, route.name, plan.stored_keys[route.name])
                record.sealed_keys[route.name] = self._sealer.seal(key)
        record.key_fingerprint = self._sealer.account(record, plan.route)
        if plan.webhook_url:
            record.webhook.url = plan.webhook_url
        return record

    async def _check_webhook(self, url: str, tenant: str) -> None:
        """Raise GatewayError for a URL that the URL guard refuses."""
        try:
            await self._outbound.check(url, tenant)
        except UrlRefusedError as error:
            raise invalid("webhook_url", f"webhook_url can't be called: {error.reason}.") from None

    async def _join(self, record: JobRecord, plan: Plan, tenant: str, key: str) -> Entry | None:
        """Return the job of an idempotency key, or None after claiming the key for `record`."""
        for ref in _input_refs(record.task):
            ref.sha256 = await self._store.digest(ref.key)
        digest = _request_digest(record, plan)
        claim = await self._claims.claim(tenant, key, record.id, digest)
        if claim.request_digest != digest:
            raise GatewayError(
                ErrorReason.ERROR_REASON_IDEMPOTENCY_KEY_MISMATCH,
                "This idempotency key was used with another request.",
                param="Idempotency-Key",
            )
        if claim.mine:
            return None
        # The first call with the key may have failed before it wrote the job: then this call writes it.
        record.id = claim.job_id
        return await self._find(claim.job_id)

    async def _find(self, job_id: str) -> Entry | None:
        with engine_errors():
            return await self._lookup.find(job_id)


def _input_refs(task: provider.ImageTask) -> list[provider.MediaRef]:
    """Return the references of all input images of a task."""
    guides = [task.mask] * task.HasField("mask") + [task.markup] * task.HasField("markup")
    return [*task.inputs, *guides]


def _request_digest(record: JobRecord, plan: Plan) -> str:
    """Return the SHA-256 of everything that the caller asked for. Input images count by content."""
    task = record.task.__class__()
    task.CopyFrom(record.task)
    task.ClearField("route")  # the gateway chooses the route, by keys and circuit breakers that change
    task.ClearField("media_days")  # the operator's choice, which changes, too
    for ref in _input_refs(task):
        ref.ClearField("key")
    task.ClearField("strict")  # a preference, as is the time that the caller waits
    parts = (
        task.SerializeToString(deterministic=True),
        repr(sorted(record.metadata.items())).encode(),
        repr((record.type, plan.b64_json, plan.stream, plan.webhook_url)).encode(),
    )
    return hashlib.sha256(b"\0".join(parts)).hexdigest()
