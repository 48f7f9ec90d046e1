"""`Prefer: handling=strict` for warnings of adapters: 400, and no request to the provider."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from tests.gateway.providers.asking import edit, over_both, over_rest

if TYPE_CHECKING:
    from tests.gateway.jobs.calls import Caller
    from tests.gateway.providers.providers import Providers

_STRICT = {"prefer": "wait=60, handling=strict"}


def test_warning_of_an_adapter_is_refused_naming_the_field(caller: Caller, providers: Providers) -> None:
    fields = edit("openai/gpt-image-2", input_fidelity="high", n=2)
    for said in over_both(caller, fields, _STRICT):
        assert said.failure is not None, said.document
        assert (said.failure.code, said.failure.param) == ("unsupported_parameter", "input_fidelity")
    assert providers.calls() == {}
    lenient = over_rest(caller, fields)
    assert [warning["param"] for warning in lenient.document["warnings"]] == ["input_fidelity"]
    assert providers.billed() == {"openai": 2}


def test_strict_handling_does_not_change_an_idempotent_request(caller: Caller, providers: Providers) -> None:
    """As for any preference, the same key and body return the same response and are billed once."""
    key = {"idempotency-key": str(uuid.uuid4())}
    fields = edit("openai/gpt-image-2", input_fidelity="high")
    first, second = over_rest(caller, fields, key), over_rest(caller, fields, {**key, **_STRICT})
    assert first.document["id"] == second.document["id"]
    assert providers.billed() == {"openai": 1}
