"""Stored keys of tenants where the operator has keys of all routes."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from tests.emulators.bfl import Bfl
from tests.gateway.jobs.stacks import new_caller
from tests.gateway.providers.asking import assert_served_by, over_rest, request
from tests.gateway.providers.providers import submissions
from tests.gateway.providers.test_byok import LORAS, SDXL, holding, new_key
from tests.gateway.providers.test_failures import changed
from tests.gateway.providers.test_stored_keys import BUSY, UNAVAILABLE, keys_shown, store
from tests.support.stack import eventually

if TYPE_CHECKING:
    from tests.gateway.jobs.calls import Caller
    from tests.gateway.providers.providers import Providers

_TRIES: Final = 2
"""Calls to a route that responds 503 before the job fails, where no other route exists."""


def test_stored_key_falls_back_to_the_operators_route(caller: Caller, all_providers: Providers) -> None:
    all_providers.forget()
    tenant, key = new_caller(caller.stack, f"tenant-{secrets.token_hex(6)}"), new_key("replicate")
    store(tenant, "replicate", key)
    replicate, fal = all_providers["replicate"], all_providers["fal"]
    replicate.failures[:] = [BUSY]
    assert_served_by(over_rest(tenant, request(SDXL)), "fal")
    assert keys_shown(replicate, replicate.key, key) == [[key]]
    assert keys_shown(fal, fal.key, key)[0] == [fal.key]
    assert not [keys for keys in keys_shown(fal, key) if keys]


def test_stored_key_shares_slots_with_the_same_key_in_a_header_alone(
    caller: Caller, all_providers: Providers
) -> None:
    all_providers.forget()
    bfl, key = all_providers["bfl"], new_key("bfl")
    assert isinstance(bfl, Bfl)
    bfl.tasks.clear()
    bfl.peaks.clear()
    tenant = new_caller(caller.stack, f"tenant-{secrets.token_hex(6)}")
    store(tenant, "bfl", key)
    fields = request("bfl/flux-2-pro", size="64x64")
    with changed(bfl, script=("Pending",), others=(key,)):
        jobs = [caller.submit(**fields, n=n) for n in (10, 10, 4)]
        eventually(lambda: len(bfl.tasks) == 24, 20, "the operator's places are taken")
        own = [tenant.submit(**fields, n=n) for n in (10, 10, 4)]
        eventually(lambda: len(bfl.tasks) == 48, 20, "those of the stored key are taken, too")
        own += [tenant.submit(**fields), tenant.submit(headers={"x-byok-bfl": key}, **fields)]
        assert [tenant.job(job_id)["status"] for job_id in own] == [*["running"] * 3, "queued", "queued"]
        bfl.script = ("Ready",)
        for task in bfl.tasks.values():
            task.states[:] = ["Ready"]
        assert [caller.end(job_id)["status"] for job_id in jobs] == ["completed"] * 3
        assert [tenant.end(job_id)["status"] for job_id in own] == ["completed"] * 5
    assert bfl.peaks[bfl.key, ""] == bfl.peaks[key, ""] == 24
    assert len(submissions(bfl)) == bfl.billed == 50, "none was refused"
    assert not holding(tenant, key)


def test_lora_stays_on_the_tenants_accounts(caller: Caller, all_providers: Providers) -> None:
    all_providers.forget()
    tenant, key = new_caller(caller.stack, f"tenant-{secrets.token_hex(6)}"), new_key("fal")
    store(tenant, "fal", key)
    fields = request(SDXL, loras=[dict(LORAS["fal"])])
    fal = all_providers["fal"]
    with changed(fal, key=key):
        assert_served_by(over_rest(tenant, fields), "fal")
        assert all(keys_shown(fal, key)[: len(submissions(fal))])
        fal.failures[:] = [UNAVAILABLE] * _TRIES
        said = over_rest(tenant, fields)
    assert said.failure is not None
    assert said.failure.code == "provider_unavailable"
    assert set(all_providers.calls()) == {"fal"}
    assert_served_by(over_rest(tenant, request(SDXL)), "replicate")
