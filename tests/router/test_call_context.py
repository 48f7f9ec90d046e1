"""Headers of a call: preferences, SDKs, conditions, request ids, provider keys."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from imagegateway.keys.api_keys import ApiKey
from imagegateway.keys.policy import ALL_SCOPES
from imagegateway.platform import ids
from imagegateway.platform.errors import GatewayError
from imagegateway.router import call_context, etags
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.router.limits import unlimited


def call(**headers: str) -> call_context.Call:
    return call_context.begin(
        "Generate", {name.replace("_", "-"): value for name, value in headers.items()}, rest=True
    )


@pytest.mark.parametrize(
    ("headers", "needs_images"),
    [
        ({"x_stainless_lang": "python", "user_agent": "OpenAI/Python 3.57.0"}, True),
        ({"user_agent": "ai/5.0 ai-sdk/openai/2.0.1 runtime/node.js/22"}, True),
        ({"user_agent": "ai/7.0.173 ai-sdk-provider-utils/5.0.81 node.js/24"}, True),
        ({"user_agent": "litellm/1.110.2"}, True),
        ({"user_agent": "not-litellm/1.0"}, False),
        ({"user_agent": "curl/8.5.0"}, False),
        ({}, False),
    ],
)
def test_sdk_without_jobs_is_recognised_by_its_headers(headers: dict[str, str], needs_images: bool) -> None:
    assert call(**headers).needs_images is needs_images


@pytest.mark.parametrize(
    ("header", "matches"),
    [
        ('"7"', True),
        ('W/"7"', True),
        ('"1", W/"7" , "9"', True),
        ("*", True),
        (" * ", True),
        ('"70"', False),
        ("7", False),
        ("", False),
        ('"1,7"', False),
    ],
)
def test_if_none_match_compares_weakly_in_lists_and_by_star(header: str, matches: bool) -> None:
    entry: Any = SimpleNamespace(seq=7)
    assert etags.matches(header, etags.etag(cast("Any", entry))) is matches


@pytest.mark.parametrize("given", ["a", "req_1:2.3-4", "iad1::x/y+z=", "a" * 128])
def test_well_formed_request_id_is_kept(given: str) -> None:
    assert ids.request_id(given) == given


@pytest.mark.parametrize("given", ["", "a" * 129, "two words", "é", "a\n", "a;b"])
def test_malformed_request_id_is_replaced(given: str) -> None:
    made = ids.request_id(given)
    assert made not in {given, ids.request_id(given)}
    assert ids.request_id(made) == made


@pytest.mark.parametrize("value", ["\xff", b"\xff", b"\xff".decode("utf-8", "surrogateescape")])
def test_header_bytes_become_characters_on_both_servers(value: str | bytes) -> None:
    decoded = call_context.decode(value)
    assert decoded.encode("latin-1")
    assert not decoded.isascii()


class AnyKey:
    """Key ring that accepts every key."""

    async def find(self, secret: str) -> ApiKey:
        return ApiKey(secret, "acme", "", 0)

    def note_use(self, key: ApiKey) -> None:
        pass


@pytest.mark.parametrize(
    "key",
    ["a\xffb", "\xa0", "\x85key", "key\xa0", "two\tparts", "k\x1b[1m", "k\x00", "k\x7f", "k" * 4097, "schlüssel"],
)
async def test_unprintable_provider_key_is_refused_by_name(key: str) -> None:
    begun = call(authorization="Bearer key", x_byok_fal=key)
    with pytest.raises(GatewayError) as raised:
        await call_context.authenticate(begun, cast("Any", AnyKey()), unlimited(), ALL_SCOPES)
    assert raised.value.reason == ErrorReason.ERROR_REASON_INVALID_VALUE
    assert raised.value.param == "X-BYOK-fal"
    assert key not in raised.value.message


@pytest.mark.parametrize("key", ["k", " key\t", "two parts", "k" * 4096])
async def test_whitespace_around_a_provider_key_is_removed(key: str) -> None:
    begun = call(authorization="Bearer key", x_byok_fal=key)
    await call_context.authenticate(begun, cast("Any", AnyKey()), unlimited(), ALL_SCOPES)
    assert begun.byok == {"fal": key.strip()}
