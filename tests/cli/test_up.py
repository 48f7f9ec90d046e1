"""`imagegateway up` with settings that it refuses: no process starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import command

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"port": "many"}, "IMAGEGATEWAY_PORT"),
        ({"routers": "0"}, "IMAGEGATEWAY_ROUTERS"),
        ({"log_format": "loud"}, "IMAGEGATEWAY_LOG_FORMAT"),
        ({"allow_hosts": "a b/c"}, "IMAGEGATEWAY_ALLOW_HOSTS"),
        ({"public_url": "ftp://x"}, "IMAGEGATEWAY_PUBLIC_URL"),
        ({"host": "0.0.0.0"}, "IMAGEGATEWAY_PUBLIC_URL is needed"),  # noqa: S104  every address
        ({"public_url": "http://0.0.0.0:8080"}, "IMAGEGATEWAY_PUBLIC_URL must name a host"),
        ({"prot": "80"}, "there is no setting IMAGEGATEWAY_PROT: did you mean IMAGEGATEWAY_PORT?"),
        ({"api_key": "short"}, "IMAGEGATEWAY_API_KEY must have at least 20 characters"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_start_with_a_wrong_setting_names_it(tmp_path: Path, values: dict[str, str], words: str) -> None:
    done = command.run("up", **{"data_dir": str(tmp_path), **values})
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
