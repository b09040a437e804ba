"""`docs/otlp.md`: its tables name the fields, sources, counts and settings that there are, and what it shows loads."""

from __future__ import annotations

import re
from pathlib import Path

from ruamel.yaml import YAML

from monitor.adapters.telemetry.bridge_catalog import BRIDGE_INSTRUMENTS, REASONS
from monitor.adapters.telemetry.catalog import OTHER
from monitor.config.bridge_settings import BridgeSettings
from monitor.config.mapping_file import load_mapping, read_mapping
from monitor.config.mapping_model import KINDS
from monitor.config.settings import Settings
from monitor.engine.bridge_sight import STILL_MS, BridgeSight, BridgeState

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "otlp.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)


def section(title: str) -> str:
    return TEXT.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_every_setting_is_told_with_its_default() -> None:
    rows = re.findall(r"^\| `(bridge_\w+)` \| `([^`]+)` \|", section("Settings"), re.MULTILINE)
    wanted = [name for name in Settings.model_fields if name in BridgeSettings.model_fields]
    assert sorted(rows) == sorted((name, str(Settings.model_fields[name].default)) for name in wanted)


def test_every_field_of_the_default_mapping_is_told() -> None:
    cells = re.findall(r"^\| ([^|]*`[^|]*) \|", section("What becomes what"), re.MULTILINE)
    told = {name for cell in cells for name in re.findall(r"`([a-z_.]+)`", cell)}
    assert {field.path for field in load_mapping("otel-genai.v1").fields} <= told


def test_every_kind_of_source_is_told() -> None:
    rows = re.findall(r"^\| `(\w+): [^|]* \|", section("What becomes what"), re.MULTILINE)
    assert sorted(rows) == sorted(KINDS)


def test_every_count_is_told() -> None:
    modules = ("engine/span_join.py", "engine/bridge.py", "core/span_mapping.py", "adapters/otlp/decode.py")
    code = [(ROOT / "monitor" / name).read_text(encoding="utf-8") for name in modules]
    counted = {name for text in code[:2] for name in re.findall(r'counts\.add\(\s*f?"(\w+)', text)}
    reasons = set(re.findall(r'return (?:facts if .* else )?"(no_\w+)"', code[2]))
    records = {f"record:{name}" for name in re.findall(r'(?:return|else) "(\w+)"$', code[3], re.MULTILINE)}
    told = set(re.findall(r"`([a-z_]+(?::\w+)?)`", section("What is left out, and where it shows")))
    plain = {name.partition(":")[0] for name in told}
    assert {"no_end", "no_release"} == reasons
    assert len(records) == 4
    assert counted - {"records", "spans", "requests", "outcomes"} <= plain
    assert reasons | records <= told


def test_what_is_shown_can_be_read() -> None:
    collector, mapping = BLOCKS
    exporter = YAML(typ="safe").load(collector)["exporters"]["kafka"]
    assert exporter["traces"]["topic"] == Settings().bridge_spans_topic
    assert exporter["logs"]["topic"] == Settings().bridge_logs_topic
    assert read_mapping(mapping, "acme.yaml").name == "acme.v1"


def test_every_count_that_is_told_is_a_reason_of_the_metric() -> None:
    cells = re.findall(r"^\| (`[^|]*) \|", section("What is left out, and where it shows"), re.MULTILINE)
    told = {name for cell in cells for name in re.findall(r"`([a-z_]+(?::[a-z_]+)?)(?::[A-Z]+)?`", cell)}
    assert set(REASONS) == told | {OTHER}


def test_every_metric_and_state_is_told_and_no_other() -> None:
    text = section("Watching it")
    metrics = dict(re.findall(r"^\| `(\w+)(?:\{(\w+)\})?` \|", text, re.MULTILINE))
    states = re.findall(r"^\| `([a-z]+)` \| .* \| (yes|no) \|$", text, re.MULTILINE)
    assert {name: label for name, label in metrics.items() if name.startswith("rollback_budget_")} == {
        one.exposed: next(iter(one.labels), "") for one in BRIDGE_INSTRUMENTS
    }
    assert dict(states) == {
        state.value: "yes" if BridgeSight(state, None, 0, 0, 0, 0).is_ready else "no" for state in BridgeState
    }
    assert f"for {STILL_MS // 1000} s nothing has moved" in text
    fields = set(re.findall(r"`([a-z_]+)`", text.partition("- `/readyz`")[2].partition("- `/metrics`")[0]))
    assert fields == set(BridgeSight.__dataclass_fields__)
