"""The served OpenAPI document, checked against the gateway by Schemathesis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.api import tools

if TYPE_CHECKING:
    from tests.support.stack import Stack


def test_every_answer_is_as_described(gateway: Stack) -> None:
    tools.run(
        [
            *(tools.PYTHON / "schemathesis", "--config-file", "tests/api/schemathesis.toml", "run", "--no-color"),
            f"{gateway.url}/openapi.json",
        ],
        variables={"PYTHONPATH": str(tools.ROOT), "GATEWAY_KEY": gateway.key},
    )
