"""Distribution of the tests to workers: one unit of work for each shared stack, and for each other file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.scheduling import unit_of


@pytest.mark.parametrize(
    ("file", "unit"),
    [
        ("tests/gateway/test_cases.py", "tests/gateway"),
        ("tests/gateway/test_auth.py", "tests/gateway"),
        ("tests/gateway/jobs/test_stream.py", "tests/gateway"),
        ("tests/gateway/jobs/test_queue.py", "tests/gateway/jobs/test_queue.py"),
        ("tests/gateway/providers/test_every_model.py", "tests/gateway/providers"),
        ("tests/gateway/test_stack_lifecycle.py", "tests/gateway/test_stack_lifecycle.py"),
        ("tests/gateway/memory/test_json.py", "tests/gateway/memory"),
        ("tests/gateway/jobs/external_nats/test_shared_engine.py", "tests/gateway/jobs/external_nats"),
        ("tests/router/test_validation.py", "tests/router/test_validation.py"),
    ],
)
def test_files_that_share_a_stack_are_one_unit(file: str, unit: str) -> None:
    assert Path(file).is_file()
    assert unit_of(file) == unit
