"""Several stacks on one NATS server: keys end only with their own stack."""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.gateway.rest import GENERATIONS, SMALL, ask
from tests.support.stack import eventually, short_folder, start

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.stack import Stack

WITHIN = 10.0
KEY = re.compile(r"igw_[A-Za-z0-9_-]{43}_[0-9a-f]{20}")


@pytest.fixture
def folders() -> Iterator[list[Path]]:
    with ExitStack() as held:
        yield [held.enter_context(short_folder()) for _ in range(2)]


def is_accepted(stack: Stack, key: str) -> bool:
    return ask(stack, "GET", "/v1/models", key=key).status == 200


def up(held: ExitStack, folder: Path, *flags: str, **values: str) -> Stack:
    """Yield a ready stack and stop it afterwards."""
    stack = start(folder, *flags, **values)
    held.callback(stack.stop)
    stack.wait_ready()
    return stack


def test_start_beside_others_harms_no_key_and_makes_nothing_unasked(
    first: Stack, shared: Mapping[str, str], folders: list[Path]
) -> None:
    with ExitStack() as held:
        (lasting,) = set(KEY.findall(first.welcome()))
        second = up(held, folders[0], "--first-key", "--first-image", **shared)
        (session,) = set(KEY.findall(second.welcome()))
        assert "first image" not in first.welcome()
        assert (folders[0] / "data" / "first-image.png").is_file()
        public = "https://images.example.com"
        third = up(held, folders[1], host="0.0.0.0", public_url=public, **shared)  # noqa: S104  every address
        assert not KEY.findall(third.text())
        assert "first image" not in third.welcome()
        assert "0.0.0.0" not in third.welcome()  # noqa: S104
        assert not (folders[1] / "data" / "first-image.png").exists()
        answer = ask(third, "POST", GENERATIONS, dict(SMALL), key=lasting)
        assert answer.json()["data"][0]["url"].startswith(f"{public}/media/")
        for stack in (first, second, third):
            assert is_accepted(stack, lasting)
            assert is_accepted(stack, session)
        second.stop()
        eventually(lambda: not is_accepted(first, session), WITHIN, "the session's key ends with its stack")
        assert is_accepted(first, lasting)
