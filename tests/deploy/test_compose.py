"""The compose file: the Compose specification, and agreement with the gateway's own names and with itself."""

from __future__ import annotations

import re
import stat
from typing import Any, Final

import pytest
import yaml
from compose_spec import PyCompose

from tests.deploy import names
from tests.deploy.chart import DEPLOY

FILE: Final = DEPLOY / "compose/compose.yaml"
_VARIABLE: Final = re.compile(r"\$\{(\w+)(?::([?-])([^}]*))?}")
_VALUES: Final = {
    "IMAGEGATEWAY_IMAGE": "registry.example.com/imagegateway:0.2.0",
    "IMAGEGATEWAY_PUBLIC_URL": "https://images.example.com",
}
_MERGED: Final = yaml.safe_load(_VARIABLE.sub(lambda found: _VALUES.get(found[1], found[3]), FILE.read_text()))
"""The file with variables and YAML's merge keys resolved."""
_SERVICES: Final[dict[str, dict[str, Any]]] = _MERGED["services"]
every_service = pytest.mark.parametrize("service", _SERVICES.values(), ids=_SERVICES)


def test_file_follows_the_compose_specification() -> None:
    PyCompose.from_yaml(yaml.safe_dump(_MERGED)).validate()


def test_required_variables_say_what_is_missing() -> None:
    required = {name: message for name, kind, message in _VARIABLE.findall(FILE.read_text()) if kind == "?"}
    assert required.keys() == _VALUES.keys()
    assert all(message.startswith(f"set {name} ") for name, message in required.items())


@every_service
def test_containers_cannot_gain_privileges(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in service  # the image's own, which is not root


@every_service
def test_environment_names_settings_only(service: dict[str, Any]) -> None:
    assert names.unknown_settings(service.get("environment", ())) == []


@every_service
def test_commands_exist(service: dict[str, Any]) -> None:
    names.check_command(service["command"])


@every_service
def test_secrets_are_files_that_the_service_has(service: dict[str, Any]) -> None:
    environment = service.get("environment", {})
    read = {value for name, value in environment.items() if name.endswith("_FILE")}
    assert read == {f"/run/secrets/{name}" for name in service.get("secrets", ())}


def test_parts_find_each_other() -> None:
    listening = {
        f"{name}:{port}"
        for name, service in _SERVICES.items()
        if name in names.PARTS
        for port in names.listening_ports({key: str(value) for key, value in service["environment"].items()})
    }
    called = {
        word.rpartition("://")[2]
        for service in _SERVICES.values()
        for text in (*service["command"], *map(str, service.get("environment", {}).values()))
        for word in text.split()
        if re.match(r"(dns|tcp)://[a-z]", word)
    }
    assert called == {"router:9001", "router:9002", "media:9004", "providers:9003"}
    assert called <= listening


def test_only_the_public_port_is_published() -> None:
    assert [name for name, service in _SERVICES.items() if "ports" in service] == ["envoy"]


def test_only_routers_reach_nats() -> None:
    assert {name for name, service in _SERVICES.items() if "state" in service["networks"]} == {"nats", "router"}
    assert _MERGED["networks"]["state"] == {"internal": True}


def test_program_that_makes_the_certificates_is_executable() -> None:
    assert (DEPLOY / "certificates.sh").stat().st_mode & stat.S_IXUSR
