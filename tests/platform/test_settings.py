"""Settings: unknown names, hosts that are no address for links, and keys that are too short."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from imagegateway.platform import setting_names, setting_source
from imagegateway.platform.hosts import is_wildcard
from imagegateway.platform.setting_source import SettingError, Source
from imagegateway.platform.settings import known_names, load
from imagegateway.providers.registry import HTTP_FAMILIES
from imagegateway.router.catalog import Catalog

if TYPE_CHECKING:
    from collections.abc import Callable


def given(**values: str) -> Source:
    return Source({f"IMAGEGATEWAY_{name}": value for name, value in values.items()})


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets variables in an environment that has none of the gateway's."""
    for name in setting_source.environment():
        if name.startswith(setting_source.PREFIX):
            monkeypatch.delenv(name)

    def put(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return put


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("PROT", "PORT"),
        ("BFL_APIKEY", "BFL_API_KEY"),
        ("GOGLE_API_KEY", "GOOGLE_API_KEY"),
        ("QUEUE_LIMITS", "QUEUE_LIMIT"),
        ("NATS_URLS", "NATS_URL"),
    ],
)
def test_unknown_setting_stops_the_start_with_the_nearest_name(
    environment: Callable[..., None], name: str, near: str
) -> None:
    environment(**{f"IMAGEGATEWAY_{name}": "secret"})
    with pytest.raises(SettingError) as caught:
        load()
    assert f"IMAGEGATEWAY_{name}:" in str(caught.value)
    assert f"IMAGEGATEWAY_{near}?" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_unknown_name_in_the_settings_file_is_found_too(environment: Callable[..., None], tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("porrt = 80\n")
    environment(IMAGEGATEWAY_SETTINGS=str(file))
    with pytest.raises(SettingError, match="no setting porrt: did you mean IMAGEGATEWAY_PORT"):
        load()


def test_settings_of_routes_and_clients_and_foreign_variables_are_accepted(environment: Callable[..., None]) -> None:
    environment(IMAGEGATEWAY_URL="http://x", IMAGEGATEWAY_KEY="k", IMAGEGATEWAY_CLOUDFLARE_ACCOUNT_ID="a")
    environment(IMAGEGATEWAY_LOCAL_CONCURRENCY="2", PORT="1", OTHER_GATEWAY="x")
    assert load().route_concurrency("local", None) == 2


def test_registry_names_all_that_routes_and_the_documentation_name() -> None:
    known = {f"IMAGEGATEWAY_{name}" for name in known_names()}
    catalog = Catalog.load(given())
    named = {name for model in catalog.models.values() for route in model.routes for name in route.required_settings}
    assert named <= known
    for entry in HTTP_FAMILIES.values():
        assert {adapter.route for adapter in entry.adapters} <= set(setting_names.ROUTES)
    text = Path("docs/settings.md").read_text()
    assert set(re.findall(r"IMAGEGATEWAY_[A-Z0-9_]+[A-Z0-9]", text)) <= known
    of_routes = {
        f"IMAGEGATEWAY_{route.upper()}_{end}" for route in setting_names.ROUTES for end in setting_names.OF_ROUTES
    }
    clients = {"IMAGEGATEWAY_URL", "IMAGEGATEWAY_KEY"}
    assert {name for name in known - of_routes - clients if name not in text} == set()


WILDCARDS = ["0.0.0.0", "::", "0", "[::]", "0.0", "0x0", "::0", "0:0:0:0:0:0:0:0", "::ffff:0.0.0.0", "*"]  # noqa: S104  not bound


@pytest.mark.parametrize("host", WILDCARDS)
def test_wildcard_host_needs_a_public_url(host: str) -> None:
    assert is_wildcard(host)
    with pytest.raises(SettingError, match="IMAGEGATEWAY_PUBLIC_URL"):
        load(given(HOST=host))
    assert load(given(HOST=host, PUBLIC_URL="https://images.example.com/")).public_url == "https://images.example.com"


@pytest.mark.parametrize(
    "url", ["http://0.0.0.0:8080", "http://[::]:8080", "http://0/", "https://", "http://:80", "http://[::", "ftp://a"]
)
def test_public_url_must_name_a_host_that_callers_can_reach(url: str) -> None:
    with pytest.raises(SettingError, match="IMAGEGATEWAY_PUBLIC_URL"):
        load(given(PUBLIC_URL=url))


@pytest.mark.parametrize(
    ("host", "public", "local"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("10.1.2.3", "http://10.1.2.3:8080", "http://10.1.2.3:8080"),
        ("::1", "http://[::1]:8080", "http://[::1]:8080"),
        ("0.0.0.0", "http://gateway", "http://127.0.0.1:8080"),  # noqa: S104
        ("::", "http://gateway", "http://[::1]:8080"),
    ],
)
def test_addresses_of_a_host(host: str, public: str, local: str) -> None:
    values = {"PUBLIC_URL": public} if public == "http://gateway" else {}
    found = load(given(HOST=host, **values))
    assert (found.public_url, found.local_url) == (public, local)


@pytest.mark.parametrize("key", ["z", "x" * 19, "x" * 20 + " y", "schlüssel-schlüssel-1", "x" * 20 + "\ny"])
def test_api_key_that_is_short_or_no_header_is_refused_by_name_only(key: str) -> None:
    with pytest.raises(SettingError, match="IMAGEGATEWAY_API_KEY") as caught:
        load(given(API_KEY=key))
    assert key not in str(caught.value)


def test_api_key_of_20_characters_is_accepted() -> None:
    assert load(given(API_KEY="k" * 20)).api_key.reveal() == "k" * 20
