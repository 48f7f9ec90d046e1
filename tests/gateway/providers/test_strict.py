"""`Prefer: handling=strict` where only the adapter knows what the provider lacks: 400, and nothing is sent."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from tests.gateway.providers.asking import edit, over_both, over_rest

if TYPE_CHECKING:
    from tests.gateway.jobs.calls import Caller
    from tests.gateway.providers.providers import Providers

_STRICT = {"prefer": "wait=60, handling=strict"}


def test_what_an_adapter_warns_of_is_refused_naming_the_field(caller: Caller, providers: Providers) -> None:
    fields = edit("openai/gpt-image-2", input_fidelity="high", n=2)
    for said in over_both(caller, fields, _STRICT):
        assert said.failure is not None, said.document
        assert (said.failure.code, said.failure.param) == ("unsupported_parameter", "input_fidelity")
    assert providers.calls() == {}
    lenient = over_rest(caller, fields)
    assert [warning["param"] for warning in lenient.document["warnings"]] == ["input_fidelity"]
    assert providers.billed() == {"openai": 2}


def test_strictness_is_no_part_of_what_a_key_stands_for(caller: Caller, providers: Providers) -> None:
    """As any other preference: the same key and body give the same answer, and are paid once."""
    key = {"idempotency-key": str(uuid.uuid4())}
    fields = edit("openai/gpt-image-2", input_fidelity="high")
    first, second = over_rest(caller, fields, key), over_rest(caller, fields, {**key, **_STRICT})
    assert first.document["id"] == second.document["id"]
    assert providers.billed() == {"openai": 1}
