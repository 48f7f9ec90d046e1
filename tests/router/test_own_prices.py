"""Own prices: the operator's file, its errors, and the costs that follow from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.platform.setting_source import SettingError, Source
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.router.catalog import Catalog
from imagegateway.v1.job_pb2 import Cost

if TYPE_CHECKING:
    from pathlib import Path

FILE = """
[prices."openai/dall-e-3"]
per_image = 0.05
[prices."flux-2-pro"]
per_megapixel = 0.02
per_input_megapixel = 0.01
[prices."bria/eraser"]
per_image = 0.03
[prices."bria/eraser".routes.fal]
per_image = 0
[prices."bytedance/seedance-2.0"]
per_second = 0.1
"""


def catalog(tmp_path: Path, text: str = FILE) -> Catalog:
    (tmp_path / "prices.toml").write_text(text)
    return Catalog.load(Source({"IMAGEGATEWAY_PRICES": str(tmp_path / "prices.toml")}))


def task(model: str, route: str, **fields: Any) -> pb.ImageTask:
    return pb.ImageTask(**{"model": model, "route": route, "n": 1, **fields})


@pytest.mark.parametrize(
    ("wanted", "amount"),
    [
        (task("openai/dall-e-3", "openai", n=2), 0.1),
        (task("bfl/flux-2-pro", "bfl", width=2048, height=1024, inputs=[pb.MediaRef(width=9, height=9)]), 0.05),
        (task("bria/eraser", "bria"), 0.03),
        (task("bria/eraser", "fal"), 0),
        (task("bytedance/seedance-2.0", "bytedance"), 1),
        (task("bytedance/seedance-2.0", "bytedance", seconds=5), 0.5),
        (task("recraft/recraft-v3", "recraft"), 0.04),
    ],
    ids=lambda value: f"{value.model} {value.route}" if isinstance(value, pb.ImageTask) else None,
)
def test_estimate_is_by_the_own_price(tmp_path: Path, wanted: pb.ImageTask, amount: float) -> None:
    cost = catalog(tmp_path).estimate(wanted)
    assert cost is not None
    assert cost.amount == amount


def test_own_price_replaces_the_cost_that_the_provider_reports(tmp_path: Path) -> None:
    done = pb.Done(artifacts=[pb.Artifact(media=pb.MediaRef(width=1024, height=1024))], cost=Cost(amount=9))
    cost = catalog(tmp_path).price(task("bfl/flux-2-pro", "bfl"), done)
    assert cost == Cost(amount=0.02, currency="USD", estimated=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prices", "Expected '='"),
        ("price = 1", "unknown key 'price'"),
        ("prices = 1", "prices must be a table"),
        ('[prices."openai/nothing"]\nper_image = 1', "there is no model 'openai/nothing'"),
        ('[prices."openai/dall-e-3"]', "set one of per_image, per_megapixel, per_second"),
        ('[prices."openai/dall-e-3"]\nper_image = 1\nper_second = 1', "set one of"),
        ('[prices."openai/dall-e-3"]\nper_image = 1\nper_input_megapixel = 1', "with per_megapixel only"),
        ('[prices."openai/dall-e-3"]\nper_frame = 1', "unknown key 'per_frame'"),
        ('[prices."openai/dall-e-3"]\nper_image = "1"', 'prices."openai/dall-e-3".per_image must be a number'),
        ('[prices."openai/dall-e-3"]\nper_image = -1', "must be a number of US dollars from 0"),
        ('[prices."openai/dall-e-3"]\nper_image = nan', "must be a number of US dollars from 0"),
        ('[prices."openai/dall-e-3"]\nper_image = true', "must be a number of US dollars from 0"),
        ('[prices."openai/dall-e-3".routes.azure]\nper_image = 1', "unknown key 'azure'"),
    ],
)
def test_error_names_setting_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingError) as error:
        catalog(tmp_path, text)
    assert str(error.value).startswith(f"IMAGEGATEWAY_PRICES: {tmp_path}/prices.toml: ")
    assert message in str(error.value)


def test_missing_file_is_an_error_of_the_setting() -> None:
    with pytest.raises(SettingError, match="IMAGEGATEWAY_PRICES: /nowhere"):
        Catalog.load(Source({"IMAGEGATEWAY_PRICES": "/nowhere"}))
