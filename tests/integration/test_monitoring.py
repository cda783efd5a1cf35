"""The shipped alerts and dashboard: whole, and about numbers that there are."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.metrics import families
from tests.promtool import MISSING, found_promtool
from tests.servers import REPOSITORY

PROMTOOL = found_promtool() or ""
ALERTS = REPOSITORY / "deploy/prometheus/alerts.yml"
DASHBOARD = REPOSITORY / "deploy/grafana/carryon.json"
LABELS = {
    **{f"{families.PREFIX}{name}_total": set(labels) for name, (_, labels) in families.COUNTERS.items()},
    **{f"{families.PREFIX}{families.DURATIONS}{part}": set(families.DURATION_LABELS) for part in ("_sum", "_count")},
    f"{families.PREFIX}{families.DURATIONS}_bucket": {*families.DURATION_LABELS, "le"},
    "carryon_transfers": {"kind", "state"},
    **{f"carryon_{name}": {"kind"} for name in ("leases", "oldest_due_seconds", "processes")},
    **{f"carryon_queue_{name}": {"queue"} for name in ("length", "oldest_seconds")},
    **{f"carryon_{name}": {"check"} for name in ("up", "check_seconds")},
    **{f"carryon_storage_{name}_bytes": {"root"} for name in ("free", "total")},
    "carryon_websocket_clients": set(),
    "carryon_build_info": {"version"},
}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def targets() -> list[dict[str, str]]:
    return [target for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel["targets"]]


EXPRESSIONS = [rule["expr"] for rule in rules()] + [target["expr"] for target in targets()]


def test_the_table_of_labels_is_that_of_the_service() -> None:
    assert set(LABELS) <= families.names()
    assert {name for name in families.names() if name.endswith(("_total", "_bucket"))} <= set(LABELS)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_number_that_is_named_is_there_with_these_labels(expression: str) -> None:
    named = re.findall(r"\b(carryon_\w+)(?:\{([^}]*)\})?", expression)
    assert named or expression.startswith("up{")
    for name, matchers in named:
        assert name in LABELS
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) <= LABELS[name]
    known = set().union(*(LABELS[name] for name, _ in named)) if named else set()
    for by in re.findall(r"\bby \(([^)]*)\)", expression):
        assert {label.strip() for label in by.split(",")} <= known


def test_alerts_are_complete_and_their_texts_name_labels_that_there_are() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names)) > 5
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        known = set().union(*(LABELS[name] for name in re.findall(r"\bcarryon_\w+", rule["expr"])), set())
        assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) <= known


def test_panels_lie_beside_each_other_and_legends_name_labels_that_there_are() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(places) == len(set(places))
    assert len({panel["id"] for panel in panels}) == len(panels)
    for target in targets():
        known = set().union(*(LABELS[name] for name in re.findall(r"\bcarryon_\w+", target["expr"])))
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= known


def test_every_alert_is_explained() -> None:
    told = (REPOSITORY / "docs/operate.md").read_text()

    assert [rule["alert"] for rule in rules() if f"`{rule['alert']}`" not in told] == []


def test_every_number_is_explained() -> None:
    told = (REPOSITORY / "docs/operate.md").read_text()

    assert [
        name for name in LABELS if name.removesuffix("_sum").removesuffix("_count").removesuffix("_bucket") not in told
    ] == []


@pytest.mark.skipif(not PROMTOOL, reason=MISSING)
def test_prometheus_itself_takes_the_rules(tmp_path: Path) -> None:
    assert checked(ALERTS).returncode == 0
    wrong = tmp_path / "alerts.yml"
    wrong.write_text(ALERTS.read_text().replace("sum(", "summ("))
    assert "summ" in checked(wrong).stderr


def checked(file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROMTOOL, "check", "rules", str(file)], capture_output=True, text=True, check=False)
