"""The dashboard shows what the product has: all metrics of the catalogue, and nothing that is not in it.

Where promtool or amtool is installed (Debian: `prometheus`, `prometheus-alertmanager`), they judge queries, alerts and
routes too.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.adapters.telemetry.bridge_catalog import BRIDGE_INSTRUMENTS
from monitor.adapters.telemetry.catalog import INSTRUMENTS, Kind

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "rollback-budget.json").read_text())
EXPOSED = {
    one.exposed + ("_bucket" if one.kind is Kind.HISTOGRAM else ""): one
    for one in (*INSTRUMENTS, *BRIDGE_INSTRUMENTS)
}
ALWAYS = {"instance", "job", "le"}  # labels that Prometheus and its histograms add
PROMTOOL = [found] if (found := shutil.which("promtool")) else []
AMTOOL = [found] if (found := shutil.which("amtool")) else []


def panels() -> Iterator[dict[str, Any]]:
    return (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


def queries() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def metrics(query: str) -> set[str]:
    return set(re.findall(r"rollback_budget_\w+", query))


def test_every_query_asks_for_what_there_is_by_labels_that_it_has() -> None:
    for query in queries():
        assert metrics(query) <= EXPOSED.keys(), query
        known = {label for name in metrics(query) for label in EXPOSED[name].labels}
        for labels in re.findall(r"by \((.*?)\)", query):
            assert {label.strip() for label in labels.split(",")} <= known | ALWAYS, query
        for name, matchers in re.findall(r"(rollback_budget_\w+)\{(.*?)\}", query):
            for label, values in re.findall(r'(\w+)=~?"(.*?)"', matchers):
                assert set(values.split("|")) <= set(EXPOSED[name].labels[label]), query


def test_every_instrument_is_shown() -> None:
    shown = {name for query in queries() for name in metrics(query)}
    assert EXPOSED.keys() - shown == set()


def test_every_panel_says_what_it_shows_and_none_lies_over_another() -> None:
    assert [panel["title"] for panel in panels() if not panel["description"]] == []
    assert len({panel["title"] for panel in panels()}) == len(list(panels()))
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def test_it_is_found_where_grafana_is_told_to_look() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["grafana"]
    mounts = dict(volume.split(":")[:2] for volume in compose["volumes"])
    (provider,) = yaml.safe_load((DEPLOY / "grafana" / "dashboards.yml").read_text())["providers"]
    (source,) = yaml.safe_load((DEPLOY / "grafana" / "datasources.yml").read_text())["datasources"]
    home = compose["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert mounts["./deploy/grafana/rollback-budget.json"] == home
    assert Path(home).parent == Path(provider["options"]["path"])
    assert source["url"] == "http://prometheus:9090"
    (variable,) = DASHBOARD["templating"]["list"]
    used = {target["datasource"]["uid"] for panel in panels() for target in panel["targets"]}
    assert (variable["type"], variable["query"], used) == ("datasource", source["type"], {"${source}"})


@pytest.mark.parametrize("promtool", PROMTOOL)
def test_prometheus_can_read_every_query(promtool: str, tmp_path: Path) -> None:
    texts = (query.replace("$__rate_interval", "1m") for query in queries())
    rules = [{"record": f"query:{number}", "expr": text} for number, text in enumerate(texts)]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("promtool", PROMTOOL)
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "deploy/prometheus.yml"),
        ("check", "rules", "deploy/alerts.yml"),
        ("test", "rules", "tests/deploy/alerts.test.yml"),
    ],
)
def test_promtool_takes_the_configuration_and_the_alerts_fire_when_they_should(
    promtool: str, arguments: tuple[str, ...]
) -> None:
    done = subprocess.run([promtool, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("amtool", AMTOOL)
def test_amtool_takes_the_routes(amtool: str) -> None:
    command = [amtool, "check-config", str(DEPLOY / "alertmanager.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_alerts_that_are_tried_are_there_and_each_test_looks_before_and_after() -> None:
    groups = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    known = {rule["alert"] for group in groups for rule in group["rules"]}
    tests = yaml.safe_load((ROOT / "tests" / "deploy" / "alerts.test.yml").read_text())["tests"]
    for one in tests:
        tried = [case["alertname"] for case in one["alert_rule_test"]]
        assert set(tried) <= known
        if one["name"].startswith("the watchdog"):
            continue
        fires = [bool(case["exp_alerts"]) for case in one["alert_rule_test"]]
        assert any(not before and after for before, after in pairwise(fires)), one["name"]
