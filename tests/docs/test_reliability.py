"""What the docs say of the monitor's own sight is what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

from monitor.adapters.telemetry.catalog import INSTRUMENTS
from monitor.config.settings import Settings
from monitor.core.sight import BLIND_MS, LATE_MS, STUCK_MS, Cause, Sight, Sign, diagram
from monitor.core.vigil import CANARIES_MAX, Trouble, VigilLimits
from monitor.watcher import limits_of
from monitor.wire.canary import CANARY_RELEASE
from tests.chaos.report import RESULTS, with_results

TEXT = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text(encoding="utf-8")


def test_the_docs_show_the_table() -> None:
    (shown,) = re.findall(r"```mermaid\n(.*?)\n```", TEXT, re.DOTALL)
    assert shown == diagram()


def test_every_state_sign_and_cause_is_explained() -> None:
    assert re.findall(r"^\| `([A-Z]+)` \|", TEXT, re.MULTILINE) == [sight.name for sight in Sight]
    assert re.findall(r"^- `(\w+)`:", TEXT, re.MULTILINE) == [sign.name for sign in Sign]
    causes = re.findall(r"^\| `([a-z]+)` \|", TEXT, re.MULTILINE)
    assert sorted(causes) == sorted(cause.value for cause in Cause)


def test_the_named_metrics_exist() -> None:
    named = {name.partition("{")[0] for name in re.findall(r"`(rollback_budget_[a-z_]+(?:\{\w+\})?)`", TEXT)}
    assert named <= {instrument.exposed for instrument in INSTRUMENTS}
    assert "rollback_budget_blind" in named


def test_the_thresholds_are_the_ones_told() -> None:
    assert (LATE_MS, STUCK_MS, BLIND_MS) == (10_000, 20_000, 30_000)


def test_every_trouble_of_the_watcher_is_told_with_its_setting_and_its_limit() -> None:
    rows = re.findall(r"^\| \*\*(\w+)\*\* \| (.*) \| `(\w+)` \|$", TEXT, re.MULTILINE)
    assert [name for name, _, _ in rows] == [trouble.value for trouble in Trouble]
    for _, words, setting in rows:
        assert f"{Settings.model_fields[setting].default:g} s" in words


def test_the_watchers_figures_are_the_codes() -> None:
    defaults = {name: Settings.model_fields[name].default for name in re.findall(r"watch_[a-z_]+_s\b", TEXT)}
    assert (defaults["watch_every_s"], defaults["watch_ping_every_s"]) == (10, 30)
    assert max(defaults["watch_silence_s"], defaults["watch_delay_s"]) + defaults["watch_every_s"] + 1 < 60
    assert f"at most {CANARIES_MAX} are sent" in TEXT
    assert f"`{CANARY_RELEASE}`" in TEXT
    assert limits_of(Settings()) == VigilLimits()


def test_the_campaigns_figures_are_those_of_its_results() -> None:
    assert with_results(TEXT, json.loads(RESULTS.read_text(encoding="utf-8"))) == TEXT
