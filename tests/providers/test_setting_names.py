"""Names of settings: those of routes come from the registry, and a command refuses an unknown one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from imagegateway.platform.setting_source import SettingError, Source
from imagegateway.platform.settings import load
from imagegateway.providers.registry import FAMILIES, HTTP_FAMILIES, MODELS, ROUTES
from imagegateway.providers.setting_names import OF_FAMILIES, OF_ROUTES, check_names, known_names, watch_keys

from tests.support import command


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("PROT", "PORT"),
        ("BFL_APIKEY", "BFL_API_KEY"),
        ("GOGLE_API_KEY", "GOOGLE_API_KEY"),
        ("LOCAL_IMAGES", "LOCAL_IMAGE"),
        ("QUEUE_LIMITS", "QUEUE_LIMIT"),
        ("NATS_URLS", "NATS_URL"),
        ("OPENAI_API_KEY_FIL", "OPENAI_API_KEY_FILE"),
        ("FAL_APIKEY_FILE", "FAL_API_KEY_FILE"),
        ("SECRET_FILE", "SECRET_KEY_FILE"),
    ],
)
def test_unknown_setting_is_refused_with_the_nearest_name(name: str, near: str) -> None:
    with pytest.raises(SettingError) as caught:
        check_names(Source({f"IMAGEGATEWAY_{name}": "secret"}))
    assert f"IMAGEGATEWAY_{name}:" in str(caught.value)
    assert f"IMAGEGATEWAY_{near}?" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_file_of_a_key_is_read_for_the_routes_of_the_process_alone(tmp_path: Path) -> None:
    source = Source({"IMAGEGATEWAY_FAL_API_KEY_FILE": str(tmp_path / "absent")})
    watch_keys(load(source), ["bfl"])
    with pytest.raises(SettingError, match="IMAGEGATEWAY_FAL_API_KEY_FILE"):
        watch_keys(load(source))


@pytest.mark.parametrize("key", ["first\nsecond", "first\r\nsecond", "first\0second"])
def test_key_that_is_no_header_stops_the_start_and_keeps_the_key_before(tmp_path: Path, key: str) -> None:
    with pytest.raises(SettingError, match=r"^IMAGEGATEWAY_FAL_API_KEY must be one line of printable") as caught:
        watch_keys(load(Source({"IMAGEGATEWAY_FAL_API_KEY": key})))
    assert "first" not in str(caught.value)
    file = tmp_path / "fal"
    file.write_text("fal-key\n")
    source = Source({"IMAGEGATEWAY_FAL_API_KEY_FILE": str(file)})
    watch_keys(load(source))
    file.write_text(key)
    with pytest.raises(ValueError, match="must be one line of printable"):
        source.secret_files["FAL_API_KEY"].reload()
    assert source.watched_secret("FAL_API_KEY").reveal() == "fal-key"


def test_file_of_a_setting_that_is_no_secret_is_refused() -> None:
    with pytest.raises(SettingError, match="no setting IMAGEGATEWAY_PORT_FILE: only a secret can be in a file"):
        check_names(Source({"IMAGEGATEWAY_PORT_FILE": "8080"}))


@pytest.mark.parametrize("arguments", [("validate",), ("doctor",), ("keys", "list"), ("up",), ("run", "media")])
def test_command_with_an_unknown_name_in_the_settings_file_stops(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("porrt = 80\n")
    done = command.run(*arguments, settings=str(file))
    assert done.returncode == 1
    assert "no setting porrt: did you mean IMAGEGATEWAY_PORT" in done.stderr


def test_settings_of_routes_and_clients_and_foreign_variables_are_accepted() -> None:
    names = ("URL", "KEY", "CLOUDFLARE_ACCOUNT_ID", "LOCAL_CONCURRENCY", "FAL_API_KEY_FILE", "NATS_URL_FILE")
    check_names(Source({**{f"IMAGEGATEWAY_{name}": "1" for name in names}, "PORT": "1", "OTHER_GATEWAY": "x"}))


def test_every_name_that_a_route_requires_is_known() -> None:
    required = {name for model in MODELS for route in model.routes for name in route.required_settings}
    assert required <= {f"IMAGEGATEWAY_{name}" for name in known_names()}


def test_every_adapter_serves_a_route_of_the_catalog() -> None:
    assert {adapter.route for entry in HTTP_FAMILIES.values() for adapter in entry.load_adapters()} <= set(ROUTES)


def test_settings_page_names_known_settings_only_and_all_but_those_of_routes_and_families() -> None:
    known = {f"IMAGEGATEWAY_{name}" for name in known_names()}
    text = Path("docs/settings.md").read_text()
    assert set(re.findall(r"IMAGEGATEWAY_[A-Z0-9_]+[A-Z0-9]", text)) <= known
    of_routes = {f"IMAGEGATEWAY_{route.upper()}_{end}" for route in ROUTES for end in OF_ROUTES}
    of_families = {f"IMAGEGATEWAY_{family.upper()}_{end}" for family in FAMILIES for end in OF_FAMILIES}
    assert {name for name in known - of_routes - of_families if name not in text} == set()
