"""Callers' own keys in job records: encryption and fingerprints."""

from __future__ import annotations

import pytest
from cryptography.fernet import InvalidToken
from imagegateway.jobs.credentials import JobCredentials
from imagegateway.keys.root_secret import RootSecret
from imagegateway.providers.catalog import Mode, Route

from tests.jobs import records

KEY = "a key of the caller's own"
ROUTE = Route("bfl", Mode.ASYNC, "")


def same() -> JobCredentials:
    """Return the credentials of any replica."""
    return JobCredentials(RootSecret("root secret of the tests"))


def test_fingerprints_of_keys_differ_and_are_the_same_on_every_replica() -> None:
    account, elsewhere = same().fingerprint, same().fingerprint
    assert account("bfl", "a") == elsewhere("bfl", "a")
    assert len({account("bfl", "a"), account("bfl", "b"), account("fal", "a")}) == 3
    assert account("bfl", "a") != JobCredentials(RootSecret("another root secret")).fingerprint("bfl", "a")
    assert "a" * 40 not in account("bfl", "a" * 40)


def test_key_has_one_fingerprint_whether_the_call_or_the_tenant_brought_it() -> None:
    credentials = same()
    brought, stored = records.job(route="bfl"), records.job(route="bfl")
    brought.sealed_credential = credentials.seal(KEY)
    stored.sealed_keys["bfl"] = credentials.seal(KEY)
    assert credentials.open(brought) == same().open(stored) == KEY
    assert credentials.account(brought, ROUTE) == same().account(stored, ROUTE) == credentials.fingerprint("bfl", KEY)


def test_key_of_the_call_has_precedence_over_the_stored_one() -> None:
    credentials, record = same(), records.job(route="bfl")
    record.sealed_keys["bfl"] = credentials.seal("stored")
    record.sealed_credential = credentials.seal(KEY)
    assert credentials.open(record) == KEY
    assert credentials.account(record, ROUTE) == credentials.fingerprint("bfl", KEY)


def test_fingerprint_is_of_the_current_routes_key_alone() -> None:
    credentials, record = same(), records.job(route="bfl")
    record.sealed_keys["cloudflare"] = credentials.seal(KEY)
    assert credentials.open(record) == credentials.account(record, ROUTE) == ""
    record.task.route = "cloudflare"
    route = Route("cloudflare", Mode.INLINE, "")
    assert credentials.account(record, route) == credentials.fingerprint("cloudflare", KEY)


def test_shared_slots_ignore_the_callers_key() -> None:
    credentials, record = same(), records.job(route="automatic1111")
    record.sealed_keys["automatic1111"] = credentials.seal(KEY)
    assert credentials.account(record, Route("automatic1111", Mode.ASYNC, "", shared_slots=True)) == ""
    assert credentials.open(record) == KEY


def test_key_under_another_root_secret_has_no_fingerprint_and_can_not_be_used() -> None:
    record = records.job(route="bfl")
    record.sealed_keys["bfl"] = JobCredentials(RootSecret("another root secret")).seal(KEY)
    assert same().account(record, ROUTE) == ""
    with pytest.raises(InvalidToken):
        same().open(record)
