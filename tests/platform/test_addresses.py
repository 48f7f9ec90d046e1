"""Addresses of processes, and the settings that hold them."""

from __future__ import annotations

from pathlib import Path

import pytest
from imagegateway.platform import addresses
from imagegateway.platform.addresses import TcpAddress, UnixAddress
from imagegateway.platform.setting_source import SettingError, Source
from imagegateway.platform.settings import load


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("unix:/run/router.sock", UnixAddress(Path("/run/router.sock"))),
        ("tcp://127.0.0.1:7000", TcpAddress("127.0.0.1", 7000)),
        ("tcp://[::1]:7000", TcpAddress("::1", 7000)),
        ("tcp://providers.images.svc:7000", TcpAddress("providers.images.svc", 7000)),
    ],
)
def test_address_is_read_and_written(text: str, found: UnixAddress | TcpAddress) -> None:
    assert addresses.parse(text) == found
    assert str(found) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:7000",
        "unix:relative",
        "unix:/",
        "unix:/tmp",
        f"unix:/{'a' * 107}",
        f"unix:/{'a' * 300}",  # longer than a file's name may be, too
        "tcp://host",
        "tcp://:7000",
        "tcp://host:70000",
        "tcp://host:7000/path",
        "tcp://user@host:7000",
        "http://host:7000",
    ],
)
def test_other_forms_of_addresses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be unix:"):
        addresses.parse(text)


def test_socket_in_a_folder_of_another_user_is_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.stat", refuse)
    assert addresses.parse("unix:/run/other/router.sock") == UnixAddress(Path("/run/other/router.sock"))


async def test_ip_addresses_and_sockets_stand_for_themselves() -> None:
    for address in (TcpAddress("127.0.0.1", 1), TcpAddress("::1", 1), UnixAddress(Path("/a"))):
        assert await addresses.resolve(address) == [address]
    assert TcpAddress("127.0.0.1", 1) in await addresses.resolve(TcpAddress("localhost", 1))


def given(**values: str) -> Source:
    return Source({f"IMAGEGATEWAY_{name}": value for name, value in {"DATA_DIR": "/data", **values}.items()})


@pytest.mark.parametrize(
    "name", ["ROUTER_LISTEN", "UPLOADS_LISTEN", "MEDIA_LISTEN", "PROVIDERS_LISTEN", "ROUTER_URL"]
)
def test_plain_tcp_stays_on_this_machine(name: str) -> None:
    load(given(**{name: "tcp://127.0.0.1:7000"}))
    with pytest.raises(SettingError, match=rf"IMAGEGATEWAY_{name} .*IMAGEGATEWAY_INTERNAL_TLS_CERT"):
        load(given(**{name: "tcp://0.0.0.0:7000"}))
    tls = {"INTERNAL_TLS_CERT": "c", "INTERNAL_TLS_KEY": "k", "INTERNAL_TLS_CA": "a"}
    load(given(**tls, **{name: "tcp://0.0.0.0:7000"}))
    with pytest.raises(SettingError, match=f"IMAGEGATEWAY_{name} must be"):
        load(given(**{name: "0.0.0.0:7000"}))


def test_certificate_settings_belong_together() -> None:
    with pytest.raises(SettingError, match="belong together"):
        load(given(INTERNAL_TLS_CERT="cert.pem", INTERNAL_TLS_KEY="key.pem"))


def test_family_is_found_at_its_own_address_then_at_that_of_all_then_at_its_socket() -> None:
    assert load(given()).provider_addresses("openai") == (UnixAddress(Path("/data/run/openai.sock")),)
    everywhere = given(PROVIDERS_URL="tcp://127.0.0.1:1, tcp://127.0.0.1:2", BFL_URL="unix:/bfl")
    assert load(everywhere).provider_addresses("openai") == (TcpAddress("127.0.0.1", 1), TcpAddress("127.0.0.1", 2))
    assert load(everywhere).provider_addresses("bfl") == (UnixAddress(Path("/bfl")),)
    with pytest.raises(SettingError, match="IMAGEGATEWAY_BFL_URL"):
        load(given(BFL_URL="tcp://bfl.example:1")).provider_addresses("bfl")
