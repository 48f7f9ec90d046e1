"""Several stacks on one NATS server, and restarts of one stack: keys end only with their own stack."""

from __future__ import annotations

import re
import secrets
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.gateway.jobs.engine_proxy import relayed
from tests.gateway.rest import ask
from tests.support import command
from tests.support.stack import eventually, free_port, short_folder, start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.stack import Stack

WITHIN = 10.0
KEY = re.compile(r"igw_[A-Za-z0-9_-]{43}_[0-9a-f]{20}")


@pytest.fixture
def folders() -> Iterator[list[Path]]:
    with ExitStack() as held:
        yield [held.enter_context(short_folder()) for _ in range(3)]


def is_accepted(stack: Stack, key: str) -> bool:
    return ask(stack, "GET", "/v1/models", key=key).status == 200


def up(held: ExitStack, folder: Path, *flags: str, **values: str) -> Stack:
    """Yield a ready stack and stop it afterwards."""
    stack = start(folder, *flags, **values)
    held.callback(stack.stop)
    stack.wait_ready()
    return stack


def test_start_beside_others_harms_no_key_and_makes_nothing_unasked(folders: list[Path]) -> None:
    with relayed() as relay, ExitStack() as held:
        shared = {"nats_url": relay.url, "secret_key": secrets.token_hex(16)}
        first = up(held, folders[0], "--first-key", **shared)
        (lasting,) = set(KEY.findall(first.welcome()))
        second = up(held, folders[1], "--first-key", "--first-image", **shared)
        (session,) = set(KEY.findall(second.welcome()))
        assert "first image" not in first.welcome()
        assert (folders[1] / "data" / "first-image.png").is_file()
        third = up(held, folders[2], **shared)
        assert not KEY.findall(third.text())
        assert "first image" not in third.welcome()
        assert not (folders[2] / "data" / "first-image.png").exists()
        for stack in (first, second, third):
            assert is_accepted(stack, lasting)
            assert is_accepted(stack, session)
        second.stop()
        eventually(lambda: not is_accepted(first, session), WITHIN, "the session's key ends with its stack")
        assert is_accepted(first, lasting)


def test_adopted_key_is_replaced_by_another_and_stays_revoked(folders: list[Path]) -> None:
    one, two = (f"key-{secrets.token_hex(16)}" for _ in range(2))
    folder = folders[0]
    with ExitStack() as held:
        stack = up(held, folder, api_key=one)
        assert is_accepted(stack, one)
    with ExitStack() as held:
        stack = up(held, folder, api_key=two)
        assert not is_accepted(stack, one)
        assert is_accepted(stack, two)
        listed = stack.command("keys", "list").stdout
        (key_id,) = re.findall(r"^([0-9a-f]{12}) .*IMAGEGATEWAY_API_KEY$", listed, re.MULTILINE)
        assert stack.command("keys", "revoke", key_id).returncode == 0
        eventually(lambda: not is_accepted(stack, two), WITHIN, "the key is refused")
    with ExitStack() as held:
        stack = up(held, folder, api_key=two)
        assert not is_accepted(stack, two)
        assert "IMAGEGATEWAY_API_KEY holds a revoked key" in stack.text()
        assert two not in stack.text()
        done = stack.command("keys", "create", "--tenant", "acme")
        assert is_accepted(stack, done.stdout.strip())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"host": "0.0.0.0"}, "IMAGEGATEWAY_PUBLIC_URL is needed"),  # noqa: S104  it does not start
        ({"public_url": "http://0.0.0.0:8080"}, "IMAGEGATEWAY_PUBLIC_URL must name a host"),
        ({"prot": "80"}, "there is no setting IMAGEGATEWAY_PROT: did you mean IMAGEGATEWAY_PORT?"),
        ({"api_key": "short"}, "IMAGEGATEWAY_API_KEY must have at least 20 characters"),
    ],
)
def test_start_that_would_mislead_stops_with_the_settings_name(values: dict[str, str], words: str) -> None:
    with short_folder() as folder:
        done = command.spawn("up", **{"data_dir": str(folder), "port": str(free_port()), **values})
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_wildcard_host_with_a_public_url_serves_links_of_that(folders: list[Path]) -> None:
    with ExitStack() as held:
        key = f"key-{secrets.token_hex(16)}"
        values = {"host": "0.0.0.0", "public_url": "https://images.example.com"}  # noqa: S104  the tested value
        stack = up(held, folders[0], api_key=key, **values)
        body = {"model": "local/sketch", "prompt": "a boat", "size": "64x64"}
        answer = ask(stack, "POST", "/v1/images/generations", body, key=key)
        assert answer.json()["data"][0]["url"].startswith("https://images.example.com/media/")
        assert "0.0.0.0" not in stack.welcome()  # noqa: S104
