"""Lua modules of Envoy's hooks in Envoy's LuaJIT, without a stack: API keys and request ids."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import secrets
import subprocess
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from imagegateway.keys import key_tags
from imagegateway.keys.root_secret import RootSecret
from imagegateway.platform import ids, setting_source, settings
from imagegateway.stack import envoy_config
from imagegateway.stack.config import binary

from tests.support.stack import eventually, free_port, short_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT: Final = "root secret of the tests"
PREVIOUS: Final = "the root secret before that one"
ADOPTED: Final = "an-operator's-own-key"
EARLIER: Final = "the-operator's-key-before"
HMAC_KEY: Final = bytes(range(32))

ENVOY: Final = Path(__file__).with_name("lua_functions.yaml")


def write(folder: Path, port: int) -> Path:
    """Write the configuration of an Envoy that answers with what the Lua functions return."""
    adopted = folder / "api-key"
    adopted.write_text(EARLIER)
    source = setting_source.Source(
        {
            "IMAGEGATEWAY_SECRET_KEY": ROOT,
            "IMAGEGATEWAY_SECRET_KEY_PREVIOUS": PREVIOUS,
            "IMAGEGATEWAY_API_KEY_FILE": str(adopted),
            "IMAGEGATEWAY_DATA_DIR": str(folder),
        }
    )
    (folder / "edge_settings.lua").write_text(envoy_config.edge_settings(settings.load(source)))
    adopted.write_text(f"{ADOPTED}\n")
    key = '"' + "".join(f"\\{byte}" for byte in HMAC_KEY) + '"'
    path = folder / "envoy.yaml"
    hooks = envoy_config.LUA
    path.write_text(ENVOY.read_text().format(port=port, lua=hooks, settings=folder / "edge_settings.lua", key=key))
    return path


@pytest.fixture(scope="module")
def lua() -> Iterator[Callable[[str, str], str]]:
    """Call a Lua function by its path with a text."""
    port = free_port()

    def call(function: str, text: str) -> str:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
            connection.request("GET", function, headers={"x-text": text})
            return connection.getresponse().read().decode()

    def answers() -> bool:
        try:
            return bool(call("/digest", ""))
        except ConnectionError:
            return False

    with short_folder() as folder:
        command = [binary("envoy"), "-c", str(write(folder, port)), "--disable-hot-restart", "-l", "error"]
        with subprocess.Popen([*command, "--concurrency", "1"]) as process:
            try:
                eventually(answers, 10, "Envoy answers")
                yield call
            finally:
                process.terminate()


@pytest.mark.parametrize("length", [0, 1, 3, 54, 55, 56, 63, 64, 65, 119, 120, 127, 128, 200, 4096])
def test_sha256_and_hmac_agree_with_hashlib(lua: Callable[[str, str], str], length: int) -> None:
    text = secrets.token_hex(length)[:length]
    assert lua("/digest", text) == hashlib.sha256(text.encode()).hexdigest()
    assert lua("/hmac", text) == hmac.new(HMAC_KEY, text.encode(), hashlib.sha256).hexdigest()


@pytest.mark.parametrize("root", [ROOT, PREVIOUS])
def test_key_with_a_tag_of_the_present_or_previous_root_secret_passes(
    lua: Callable[[str, str], str], root: str
) -> None:
    for _ in range(20):
        assert lua("/refusal", f"Bearer {key_tags.make_secret(RootSecret(root))}") == "none"


@pytest.mark.parametrize("header", [f"Bearer {ADOPTED}", f"bearer   {ADOPTED}", f"BEARER {ADOPTED}"])
def test_adopted_key_passes(lua: Callable[[str, str], str], header: str) -> None:
    assert lua("/refusal", header) == "none"


def test_adopted_key_that_its_file_no_longer_holds_is_left_to_the_router(lua: Callable[[str, str], str]) -> None:
    assert lua("/refusal", f"Bearer {EARLIER}") == "none"


@pytest.mark.parametrize("header", ["", "Bearer", "Basic dTpw", ADOPTED, f"Token {ADOPTED}"])
def test_header_without_a_bearer_key_counts_as_missing(lua: Callable[[str, str], str], header: str) -> None:
    assert lua("/refusal", header) == "missing"


def test_key_of_another_root_secret_or_with_any_character_changed_is_unknown(lua: Callable[[str, str], str]) -> None:
    key = key_tags.make_secret(RootSecret(ROOT))
    changed = [
        key[:at] + ("a" if key[at] != "a" else "b") + key[at + 1 :]
        for at in (0, 3, 4, 20, 46, 47, 48, 60, len(key) - 1)
    ]
    others = [key_tags.make_secret(RootSecret("another root secret")), key[:-1], key + "0", ADOPTED[:-1] + "?", "x"]
    for secret in (*changed, *others, "igw_" + "a" * 8000):
        assert lua("/refusal", f"Bearer {secret}") == "unknown", secret


def test_key_of_an_earlier_version_is_named_as_such(lua: Callable[[str, str], str]) -> None:
    assert lua("/refusal", "Bearer igw_" + secrets.token_urlsafe(32)) == "untagged"


@pytest.mark.parametrize("text", [*map(chr, range(0x21, 0x7F)), "a" * 128, "a" * 129, "a b", "ä", "r_0.1:2/3+4=5-6"])
def test_request_id_has_one_rule_in_lua_and_python(lua: Callable[[str, str], str], text: str) -> None:
    assert lua("/request-id", text) == str(ids.request_id(text) == text).lower()
