"""Secrets in files and a proxy, through a whole stack: rotation without a restart, and nothing secret in the log."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from tests.gateway.configured.conftest import PROXY_PASSWORD
from tests.gateway.jobs.calls import Caller
from tests.support.stack import eventually

if TYPE_CHECKING:
    from tests.gateway.configured.conftest import SecretFolder, WayOut
    from tests.support.stack import Stack

MODEL: Final = "openai/gpt-image-1"
WAIT: Final = {"prefer": "wait=30"}
SECONDS: Final = 60.0
"""Longest time until a rotated secret is in force."""


def test_rotated_keys_are_in_force_without_a_restart_or_a_moment_without_a_key(
    configured: Stack, secret_folder: SecretFolder, way_out: WayOut
) -> None:
    first, second = configured.key, f"key-{secrets.token_hex(16)}"
    provider, earlier = way_out.provider, way_out.provider.key
    answer = Caller(configured, first).generate(WAIT, model=MODEL)
    assert answer.status == 200, answer.body
    assert f"POST {way_out.base_url}/v1/images/generations" in way_out.proxy.targets
    assert not any("proxy" in name.lower() for sent in provider.sent for name in sent.headers)

    provider_key = f"second-{secrets.token_hex(16)}"
    secret_folder.write("api_key", second)
    secret_folder.write("openai_api_key", provider_key)

    def second_passes() -> bool:
        # The first key before the second: a change between the two calls lets both pass, and never neither.
        accepted = [Caller(configured, key).ask("GET", "/v1/models").status == 200 for key in (first, second)]
        assert any(accepted), "neither key passes"
        return accepted == [False, True]

    eventually(second_passes, SECONDS, "the rotated API key is in force")
    configured.key = second
    reloaded = '"setting": "IMAGEGATEWAY_OPENAI_API_KEY_FILE"'
    eventually(lambda: reloaded in configured.text(), SECONDS, "the provider's key is reloaded")
    provider.key = provider_key
    answer = Caller(configured, second).generate(WAIT, model=MODEL)
    assert answer.status == 200, answer.body
    for secret in (first, second, earlier, provider_key, PROXY_PASSWORD):
        assert secret not in configured.text()
