"""Upgrade: a data directory of version 0.1 keeps its keys, provider keys and webhook secrets.

Version 0.1 made `data/gateway-0.1.tar.xz` with IMAGEGATEWAY_SECRET_KEY as below: a created key of tenant acme with
the default Prefer header `wait=120`, a revoked key of tenant gone, a provider key and a webhook secret of acme.
"""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.gateway.jobs.calls import Caller
from tests.gateway.rest import ask
from tests.support.stack import short_folder, start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack

DATA: Final = Path(__file__).parent / "data" / "gateway-0.1.tar.xz"
ROOT_SECRET: Final = "root secret of version 0.1"
ACME: Final = "igw_V1nruKiDU11nucstvdMw35aI8O9VUNfIBPhnl_ECPi0_5f3152e4e7a6989ec5bf"
GONE: Final = "igw_hx1BAWkAs695fJd0eaMx5x9oJmF5AqF74Yg9aAT63vU_5825ce2a4e8961a09ff3"
WEBHOOK_SECRET: Final = "whsec_eKhh/rfSxq/SKhU4F64kp2lIXT8ZYTc7Mt4GLlgSgrg="


@pytest.fixture(scope="module")
def upgraded() -> Iterator[Stack]:
    with short_folder() as folder:
        with tarfile.open(DATA) as archive:
            archive.extractall(folder, filter="data")
        stack = start(folder, secret_key=ROOT_SECRET)
        try:
            stack.wait_ready()
            yield stack
        finally:
            stack.stop()


def test_key_of_the_earlier_version_makes_images_without_limits(upgraded: Stack) -> None:
    caller = Caller(upgraded, ACME)
    answer = caller.generate()
    assert answer.status == 200, answer.body
    limits = {"x-ratelimit-limit-requests", "x-ratelimit-limit-images", "x-budget-remaining"}
    assert not limits & {name.lower() for name in answer.headers}
    assert len(caller.ask("GET", "/v1/models").json()["data"]) > 100


def test_default_preference_of_the_earlier_version_applies(upgraded: Stack) -> None:
    assert Caller(upgraded, ACME).generate().headers["preference-applied"] == "wait=120"


def test_revoked_key_of_the_earlier_version_stays_revoked(upgraded: Stack) -> None:
    assert ask(upgraded, "GET", "/v1/models", key=GONE).status == 401


def test_stored_secrets_of_the_earlier_version_are_readable(upgraded: Stack) -> None:
    caller = Caller(upgraded, ACME)
    (stored,) = caller.ask("GET", "/v1/provider-keys").json()["data"]
    assert (stored["route"], stored["last_four"]) == ("openai", "6789")
    assert caller.ask("GET", "/v1/webhook-secret").json()["secret"] == WEBHOOK_SECRET


def test_created_key_of_the_earlier_version_does_no_administration(upgraded: Stack) -> None:
    assert Caller(upgraded, ACME).ask("GET", "/v1/admin/keys").status in {403, 404}
