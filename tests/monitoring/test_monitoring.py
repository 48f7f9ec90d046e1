"""Alert rules and dashboard that the project ships, by promtool, which `make test-monitoring` brings."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
RULES: Final = ROOT / "deploy" / "monitoring" / "alerts.yaml"
DASHBOARD: Final = ROOT / "deploy" / "monitoring" / "dashboard.json"
RUNBOOK: Final = ROOT / "docs" / "operations" / "runbook.md"
TESTS: Final = Path(__file__).with_name("alerts_test.yaml")
_ALERT: Final = re.compile(r"^  - alert: (\w+)$.*?runbook_url: (\S+)$", re.MULTILINE | re.DOTALL)
_VARIABLES: Final = {"$__rate_interval": "1m", "$provider": ".*"}


def promtool(*arguments: str) -> str:
    """Run promtool, and return its output. Fail when promtool does."""
    program = shutil.which("promtool") or str(ROOT / "build" / "prometheus" / "usr" / "bin" / "promtool")
    ended = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def alerts() -> dict[str, str]:
    """Return the link of each alert to the runbook."""
    return dict(_ALERT.findall(RULES.read_text()))


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def test_rules_are_valid() -> None:
    assert f"SUCCESS: {len(alerts())} rules found" in promtool("check", "rules", str(RULES))


def test_each_alert_fires_when_it_should() -> None:
    tested = set(re.findall(r"alertname: (\w+)", TESTS.read_text()))
    assert tested == alerts().keys()
    promtool("test", "rules", str(TESTS))


def test_each_alert_links_to_its_section_of_the_runbook() -> None:
    assert alerts() == {alert: f"docs/operations/runbook.md#{alert.lower()}" for alert in alerts()}
    headings = set(re.findall(r"^#+ (.+)$", RUNBOOK.read_text(), re.MULTILINE))
    assert alerts().keys() <= headings


def test_every_query_of_the_dashboard_is_valid(tmp_path: Path) -> None:
    queries = [target["expr"] for panel in panels() for target in panel.get("targets", ())]
    assert len(queries) > 40
    rules = []
    for number, query in enumerate(queries):
        text = query
        for variable, value in _VARIABLES.items():
            text = text.replace(variable, value)
        rules.append({"record": f"dashboard:query:{number}", "expr": text})
    file = tmp_path / "queries.yaml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(file))


def test_panels_of_the_dashboard_have_ids_places_and_meanings() -> None:
    found = panels()
    assert len({panel["id"] for panel in found}) == len(found)
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in found]
    assert len(set(places)) == len(places)
    assert all(panel["description"] and panel["targets"] for panel in found if panel["type"] != "row")
