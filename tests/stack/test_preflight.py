"""Settings that a start refuses before any process runs."""

from __future__ import annotations

import pytest
from imagegateway.platform.setting_source import Source
from imagegateway.platform.settings import load
from imagegateway.stack.errors import StackError
from imagegateway.stack.preflight import check_settings

from tests.support.ports import free_port


def given(**values: str) -> Source:
    return Source({f"IMAGEGATEWAY_{name}": value for name, value in values.items()})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("METRICS_PORT", "{port}"),
        ("ADMIN_LISTEN", "127.0.0.1:{metrics}"),
        ("MEDIA_LISTEN", "tcp://127.0.0.1:{port}"),
        ("ROUTER_LISTEN", "tcp://127.0.0.1:{metrics}"),
    ],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104
def test_two_settings_with_one_port_are_refused_by_both_names(name: str, value: str, host: str) -> None:
    ports = {"port": str(free_port()), "metrics": str(free_port())}
    base = {"PORT": ports["port"], "METRICS_PORT": ports["metrics"], "METRICS_HOST": host, "HOST": "127.0.0.1"}
    current = load(given(**{**base, name: value.format(**ports)}))
    with pytest.raises(StackError, match=r"IMAGEGATEWAY_\w+ and IMAGEGATEWAY_\w+ are both port \d+: ") as caught:
        check_settings(current)
    assert f"IMAGEGATEWAY_{name}" in str(caught.value)


def test_one_port_on_addresses_of_two_families_is_accepted() -> None:
    port = str(free_port())
    check_settings(load(given(PORT=port, METRICS_PORT=port, HOST="127.0.0.1", METRICS_HOST="::")))


def test_own_nats_server_keeps_one_copy() -> None:
    with pytest.raises(StackError, match=r"IMAGEGATEWAY_NATS_REPLICAS is 3.*IMAGEGATEWAY_NATS_URL"):
        check_settings(load(given(NATS_REPLICAS="3")))
    check_settings(load(given(NATS_REPLICAS="3", NATS_URL="nats://127.0.0.1:4222")))
    check_settings(load(given()))
