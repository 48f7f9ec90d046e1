"""`imagegateway doctor` against the providers' emulators: each route's line and the exit status."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.cli.doctor import examine
from imagegateway.platform import setting_source, settings
from imagegateway.providers.registry import HTTP_FAMILIES

from tests.emulators.ark import Ark
from tests.emulators.bria import Bria
from tests.emulators.cloudflare import Cloudflare
from tests.emulators.fal import Fal
from tests.emulators.google import Google
from tests.emulators.ideogram import Ideogram
from tests.outbound.origin import Authority, answer, serve

if TYPE_CHECKING:
    from pathlib import Path

    from tests.emulators.base import Emulator

ACCOUNT = {"CLOUDFLARE_ACCOUNT_ID": "0123456789abcdef0123456789abcdef"}


async def lines(capsys: pytest.CaptureFixture[str], *families: str, **values: str) -> tuple[int, dict[str, str]]:
    """Run the command. Return the exit status and each route's line, with setting names without prefix."""
    environment = {f"IMAGEGATEWAY_{name}": value for name, value in values.items()}
    current = settings.load(setting_source.Source(environment))
    status = await examine(current, {name: HTTP_FAMILIES[name] for name in families})
    said = (line.partition("  key from ")[0].partition(" ") for line in capsys.readouterr().out.splitlines())
    return status, {route: words.strip() for route, _, words in said}


@pytest.mark.parametrize(
    ("kind", "family", "route", "further"),
    [
        (Google, "google", "google", {}),
        (Ark, "bytedance", "bytedance", {}),
        (Ideogram, "ideogram", "ideogram", {}),
        (Cloudflare, "bfl", "cloudflare", ACCOUNT),
        (Bria, "bria", "bria", {}),
        (Fal, "bria", "fal", {}),
        (Fal, "stability", "fal", {}),
    ],
)
async def test_bad_key_is_reported_as_such_for_every_status(
    capsys: pytest.CaptureFixture[str], kind: type[Emulator], family: str, route: str, further: dict[str, str]
) -> None:
    name = route.upper()
    async with kind() as emulator:
        values = {f"{name}_BASE_URL": emulator.base, f"{name}_API_KEY": emulator.key, **further}
        status, said = await lines(capsys, family, **values)
        assert (status, said[route]) == (0, "works")
        status, said = await lines(capsys, family, **{**values, f"{name}_API_KEY": "another"})
        assert emulator.billed == 0
    assert status == 1
    assert said[route].startswith("refuses the key (status ")
    assert f"check IMAGEGATEWAY_{name}_API_KEY" in said[route]
    assert "another" not in said[route]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            (403, {"error": {"code": "AccountOverdueError", "message": "no"}}),
            "refuses for lack of credit (status 403)",
        ),
        ((429, {"error": {"code": "RequestBurstTooFast", "message": "no"}}), "is busy (status 429): try again later"),
        ((502, b"<html>bad gateway</html>"), "responds with status 502 at "),
    ],
)
async def test_other_refusals_are_distinguished(
    capsys: pytest.CaptureFixture[str], answer: tuple[int, Any], words: str
) -> None:
    async with Ark() as ark:
        ark.failures = [(*answer, {})]
        status, said = await lines(capsys, "bytedance", BYTEDANCE_BASE_URL=ark.base, BYTEDANCE_API_KEY=ark.key)
    assert status == 1
    assert said["bytedance"].startswith(words)


async def test_unconfigured_route_is_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    status, said = await lines(capsys, *HTTP_FAMILIES)
    assert status == 0
    assert said["google"] == "not configured: set IMAGEGATEWAY_GOOGLE_API_KEY"
    assert said["automatic1111"] == "not configured: set IMAGEGATEWAY_AUTOMATIC1111_BASE_URL"
    both = "IMAGEGATEWAY_CLOUDFLARE_API_KEY and IMAGEGATEWAY_CLOUDFLARE_ACCOUNT_ID"
    assert said["cloudflare"] == f"not configured: set {both}"


async def test_route_with_some_of_its_settings_is_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    status, said = await lines(capsys, "bfl", CLOUDFLARE_API_KEY="k")
    assert (status, said["cloudflare"]) == (1, "not configured: set IMAGEGATEWAY_CLOUDFLARE_ACCOUNT_ID")


async def test_json_has_the_verdict_of_each_route(capsys: pytest.CaptureFixture[str]) -> None:
    current = settings.load(setting_source.Source({"IMAGEGATEWAY_CLOUDFLARE_API_KEY": "k"}))
    assert await examine(current, {"bfl": HTTP_FAMILIES["bfl"]}, as_json=True) == 1
    verdicts = {verdict["route"]: verdict for verdict in json.loads(capsys.readouterr().out)["data"]}
    assert verdicts.keys() == {"bfl", "cloudflare"}
    assert verdicts["cloudflare"] == {
        "route": "cloudflare",
        "good": False,
        "configured": False,
        "message": "not configured: set IMAGEGATEWAY_CLOUDFLARE_ACCOUNT_ID",
        "key_from": "IMAGEGATEWAY_CLOUDFLARE_API_KEY",
    }


async def test_origin_of_each_key_is_shown_without_the_key(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "cloudflare"
    file.write_text("s3cret\n")
    current = settings.load(setting_source.Source({"IMAGEGATEWAY_CLOUDFLARE_API_KEY_FILE": str(file)}))
    assert await examine(current, {"bfl": HTTP_FAMILIES["bfl"]}) == 1
    said = capsys.readouterr().out
    assert f"  key from IMAGEGATEWAY_CLOUDFLARE_API_KEY_FILE={file}\n" in said
    assert "s3cret" not in said


async def test_unreachable_provider_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    status, said = await lines(capsys, "google", GOOGLE_API_KEY="k", GOOGLE_BASE_URL="http://127.0.0.1:9")
    assert status == 1
    assert said["google"].startswith(
        "can't be reached at http://127.0.0.1:9/v1beta: check IMAGEGATEWAY_GOOGLE_BASE_URL"
    )


async def test_provider_without_a_trusted_certificate_is_reported(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    async with serve(answer(), Authority(tmp_path).server) as origin:
        base = f"https://{origin.host}"
        status, said = await lines(capsys, "google", GOOGLE_API_KEY="k", GOOGLE_BASE_URL=base)
    assert status == 1
    assert said["google"].startswith(f"has no trusted certificate at {base}/v1beta: check IMAGEGATEWAY_CA_BUNDLE")
