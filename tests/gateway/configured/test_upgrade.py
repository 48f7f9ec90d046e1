"""Upgrade: a data directory of version 0.1 keeps its keys, provider keys and webhook secrets.

Version 0.1 made `data/gateway-0.1.tar.xz` with the root secret of conftest.py: a created key of tenant acme with
the default Prefer header `wait=120`, a revoked key of tenant gone, a provider key and a webhook secret of acme.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tests.gateway.jobs.calls import Caller
from tests.gateway.rest import ask, assert_error
from tests.gateway.test_administration import KEYS

if TYPE_CHECKING:
    from tests.support.stack import Stack

ACME: Final = "igw_V1nruKiDU11nucstvdMw35aI8O9VUNfIBPhnl_ECPi0_5f3152e4e7a6989ec5bf"
GONE: Final = "igw_hx1BAWkAs695fJd0eaMx5x9oJmF5AqF74Yg9aAT63vU_5825ce2a4e8961a09ff3"
WEBHOOK_SECRET: Final = "whsec_eKhh/rfSxq/SKhU4F64kp2lIXT8ZYTc7Mt4GLlgSgrg="


def test_key_of_the_earlier_version_makes_images_without_limits(configured: Stack) -> None:
    caller = Caller(configured, ACME)
    answer = caller.generate()
    assert answer.status == 200, answer.body
    limits = {"x-ratelimit-limit-requests", "x-ratelimit-limit-images", "x-budget-remaining"}
    assert not limits & {name.lower() for name in answer.headers}
    assert len(caller.ask("GET", "/v1/models").json()["data"]) > 100


def test_default_preference_of_the_earlier_version_applies(configured: Stack) -> None:
    assert Caller(configured, ACME).generate().headers["preference-applied"] == "wait=120"


def test_revoked_key_of_the_earlier_version_stays_revoked(configured: Stack) -> None:
    assert ask(configured, "GET", "/v1/models", key=GONE).status == 401


def test_stored_secrets_of_the_earlier_version_are_readable(configured: Stack) -> None:
    caller = Caller(configured, ACME)
    (stored,) = caller.ask("GET", "/v1/provider-keys").json()["data"]
    assert (stored["route"], stored["last_four"]) == ("openai", "6789")
    assert caller.ask("GET", "/v1/webhook-secret").json()["secret"] == WEBHOOK_SECRET


def test_created_key_of_the_earlier_version_does_no_administration(configured: Stack) -> None:
    separate = replace(configured, port=int(configured.values["admin_listen"].rpartition(":")[2]))
    refused = Caller(separate, ACME).ask("GET", KEYS)
    assert_error(refused, 403, "insufficient_scope", None, "permission_error")
