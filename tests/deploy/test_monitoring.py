"""The runbook: one section for each alert."""

from __future__ import annotations

import re
from typing import Final

import yaml

from tests.deploy.chart import DEPLOY

_RUNBOOK: Final = DEPLOY.parent / "docs/operations/runbook.md"


def test_runbook_has_a_section_for_each_alert() -> None:
    groups = yaml.safe_load((DEPLOY / "monitoring/alerts.yaml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    sections = re.findall(r"^## (\S+)$", _RUNBOOK.read_text(), re.MULTILINE)
    assert sections == [rule["alert"] for rule in rules]
    for rule in rules:
        link = rule["annotations"]["runbook_url"]
        assert link == f"docs/operations/runbook.md#{rule['alert'].lower()}"
