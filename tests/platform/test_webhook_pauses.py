"""The setting WEBHOOK_PAUSES: each pause is a number of seconds, and attempts always end."""

from __future__ import annotations

import pytest
from imagegateway.platform import settings
from imagegateway.platform.setting_source import SettingError, Source
from imagegateway.platform.settings import MAX_WEBHOOK_PAUSES


def load(text: str) -> tuple[float, ...]:
    return settings.load(Source({"IMAGEGATEWAY_WEBHOOK_PAUSES": text})).webhook_pauses


def test_pauses_are_seconds_in_their_order() -> None:
    assert load("5,0,0.5,2592000") == (5.0, 0.0, 0.5, 2_592_000.0)
    assert len(load(",".join(["1"] * MAX_WEBHOOK_PAUSES))) == MAX_WEBHOOK_PAUSES


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "5,2592001", "x", "5,,5", ",".join(["1"] * 50)])
def test_pauses_that_no_attempt_could_follow_stop_the_start(text: str) -> None:
    with pytest.raises(SettingError, match="IMAGEGATEWAY_WEBHOOK_PAUSES"):
        load(text)
