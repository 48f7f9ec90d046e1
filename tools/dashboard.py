"""Grafana dashboard of the gateway: deploy/monitoring/dashboard.json. `make generate` calls this module."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tools.dashboard_panels import ROWS

if TYPE_CHECKING:
    from tools.dashboard_panels import Panel

FILE: Final = Path("deploy/monitoring/dashboard.json")
_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS: Final = 24
_WIDTH: Final = 8
_HEIGHT: Final = 8


def render() -> dict[str, Any]:
    """Return the dashboard in Grafana's model."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        position = {"x": 0, "y": y, "w": _COLUMNS, "h": 1}
        panels.append({"id": len(panels) + 1, "type": "row", "title": title, "collapsed": False, "gridPos": position})
        y += 1
        per_line = _COLUMNS // _WIDTH
        for index, panel in enumerate(row):
            position = {
                "x": index % per_line * _WIDTH,
                "y": y + index // per_line * _HEIGHT,
                "w": _WIDTH,
                "h": _HEIGHT,
            }
            panels.append(_panel(panel, len(panels) + 1, position))
        y += -(-len(row) // per_line) * _HEIGHT
    return {
        "uid": "imagegateway",
        "title": "imagegateway",
        "tags": ["imagegateway"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_datasource_choice(), _provider_choice()]},
        "panels": panels,
    }


def _panel(panel: Panel, number: int, position: dict[str, int]) -> dict[str, Any]:
    custom: dict[str, Any] = {"fillOpacity": 25 if panel.stacked else 0, "showPoints": "never"}
    if panel.stacked:
        custom["stacking"] = {"mode": "normal"}
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.meaning,
        "datasource": _DATASOURCE,
        "gridPos": position,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": custom}, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": _DATASOURCE, "expr": query, "legendFormat": legend}
            for index, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def _datasource_choice() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _provider_choice() -> dict[str, Any]:
    return {
        "name": "provider",
        "label": "Provider",
        "type": "query",
        "datasource": _DATASOURCE,
        "query": "label_values(imagegateway_job_queue_seconds_count, provider)",
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(render(), indent=2) + "\n")
