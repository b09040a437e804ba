"""`rollback-budget backtest`: which of many budgets would have acted on a recording, when, and how narrowly."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from monitor.cli import main
from monitor.config.budget_tests import check_budget_tests
from monitor.engine.rehearsed_traffic import rehearsed

SEED = (Path(__file__).parent.parent / "config" / "good" / "seed.yaml").read_text(encoding="utf-8")
ACTED = 48  # the minute at which the budget as it is rolls back
TRAFFIC = {
    "budget": "as-it-is.yaml",
    "tests": [
        {
            "name": "a slow poison",
            "rate": "200/min",
            "share": "20%",
            "base": {"task_success": 0.9, "p95_ms": 2000},
            "traffic": [{"for": "25m"}, {"for": "40m", "candidate": {"task_success": 0.8}}],
            "expect": "nothing",
        }
    ],
}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a what-if grid for one release and a recording of it."""
    folder = tmp_path_factory.mktemp("backtest")
    grid = folder / "what-if"
    grid.mkdir()
    (grid / "as-it-is.yaml").write_text(SEED, encoding="utf-8")
    (grid / "lenient.yaml").write_text(SEED.replace("-2.0", "-20.0"), encoding="utf-8")
    (grid / "lenient.tests.yaml").write_text("not read here", encoding="utf-8")
    tests = check_budget_tests(json.dumps(TRAFFIC), str(grid / "x.tests.json"))
    lines = rehearsed(tests.tests[0].script, release="model-v42", baseline="model-v41", seed="a recording")
    (folder / "rec.jsonl").write_bytes(b"".join(line + b"\n" for line in lines) + b"no event\n")
    return folder


def test_a_grid_of_limits_for_one_release_is_told_apart_by_file(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(here)
    assert main(["backtest", "--budgets", "what-if", "--events", "rec.jsonl"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[0] == "13,000 events, 0 late, 0 duplicates, 1 rejected"
    heads = [line for line in lines if line.startswith("what-if/")]
    assert heads == [
        f"what-if/as-it-is.yaml: model-v42 against model-v41, 65 min: rolled back at minute {ACTED} "
        f"(2026-01-01 00:{ACTED} UTC) by quality.task_success_delta_pct",
        "what-if/lenient.yaml: model-v42 against model-v41, 65 min: quiet",
    ]
    rows = [line.split() for line in lines if line.lstrip().startswith("quality.task_success_delta_pct  ")]
    acted, quiet = rows
    assert acted[1:4] == ["everybody", "rolled", "back"]
    assert "-11.1 %" in next(line for line in lines if "everybody  rolled back" in line)
    assert quiet[1:5] == ["everybody", "quiet", "-", "-"]
    assert quiet[-3:] == ["not", "enough", "evidence"]


def test_the_chart_shows_the_limit_and_the_minute_it_acted(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(here)
    assert main(["backtest", "--budgets", "what-if/as-it-is.yaml", "--events", "rec.jsonl"]) == 0
    out = capsys.readouterr().out
    drawn = out[out.index("  quality.task_success_delta_pct, limit -2 % for 20 min: rolled back") :]
    assert drawn.splitlines() == [
        "  quality.task_success_delta_pct, limit -2 % for 20 min: rolled back at minute 48",
        "   -11.7 % │                                          ▂▄▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆",
        "           │                                     ▁▃▅▆████████████████████████",
        "           │                                 ▁▃▅▇████████████████████████████",
        "           │                             ▂▃▅▇████████████████████████████████",
        "      -2 % │╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌▂▄▆█████████████████████████████████████ limit",
        "         0 └────────────────────────────△──────────────────▲─────────────────",
        "            0 to 65 min   △ first breach at minute 29   ▲ acted at minute 48",
        "",
    ]


@pytest.mark.parametrize("extra", [["--no-charts"], ["--output", "json"]])
def test_charts_can_be_left_out(extra: list[str], here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["backtest", "--budgets", str(here / "what-if"), "--events", str(here / "rec.jsonl"), *extra])
        == 0
    )
    assert "│" not in capsys.readouterr().out


def test_machines_get_json(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(here)
    command = ["backtest", "--budgets", "what-if", "--events", "rec.jsonl", "--output", "json"]
    assert main(command) == 0
    first = capsys.readouterr().out
    assert main(command) == 0
    assert capsys.readouterr().out == first
    told = json.loads(first)
    assert (told["accepted"], told["rejected"]) == (13_000, {"not_json": 1})
    acts, lenient = told["budgets"]
    assert (acts["file"], acts["outcome"], lenient["outcome"]) == (
        "what-if/as-it-is.yaml",
        "rolled_back",
        "quiet",
    )
    assert acts["rolled_back"] == {"minute": ACTED, "at": f"2026-01-01T00:{ACTED}:00.000Z"}
    assert acts["rolled_back_by"] == "quality.task_success_delta_pct"
    row = next(one for one in acts["objectives"] if one["objective"] == acts["rolled_back_by"])
    assert (row["limit"], row["unit"], row["tier"], row["reason"]) == (-2, "pct", "A", "breach")
    assert row["margin"] == pytest.approx(row["delta"] / -2)
    assert row["evidence"]["nats"] > row["evidence"]["x_star"]
    assert row["acted"] == row["rolled_back"] == acts["rolled_back"]
    assert row["first_breach"]["minute"] < ACTED
    assert len(row["curve"]["points"]) == 65
    near = next(one for one in lenient["objectives"] if one["objective"] == row["objective"])
    assert (near["acted"], near["last_refusal"], near["usual_refusal"]) == (
        None,
        *["not_enough_evidence"] * 2,
    )
    assert 0 < near["margin"] < 1


def test_a_plot_is_one_svg_with_a_panel_an_objective(here: Path, tmp_path: Path) -> None:
    plot = tmp_path / "what-if.svg"
    command = ["backtest", "--budgets", str(here / "what-if"), "--events", str(here / "rec.jsonl")]
    assert main([*command, "--plot", str(plot)]) == 0
    root = ElementTree.fromstring(plot.read_text(encoding="utf-8"))
    svg = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{svg}svg"
    said = [text.text or "" for text in root.iter(f"{svg}text")]
    assert (
        sum(f"rolled back at minute {ACTED}" in text for text in said) == 2
    )  # the budget's headline and the panel's
    assert f"acted at {ACTED}" in said
    kinds = [line.get("class") for line in root.iter(f"{svg}line")]
    assert (
        kinds.count("limit") == 4
    )  # two budgets with a curve each for success and p95; no hand-off was measured
    assert (kinds.count("acted"), kinds.count("breach")) == (1, 1)
    height = float(root.get("height") or 0)
    for line in root.iter(f"{svg}polyline"):
        points = [tuple(map(float, point.split(","))) for point in (line.get("points") or "").split()]
        assert all(0 <= x <= 960 and 0 <= y <= height for x, y in points)


@pytest.mark.parametrize(
    ("plot", "said"),
    [
        ("plot.png", "is no .svg file; only SVG is written"),
        ("nowhere/plot.svg", "name a file in a directory"),
    ],
)
def test_a_plot_that_cannot_be_written_is_refused_before_anything_is_read(
    plot: str, said: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(here)
    assert main(["backtest", "--budgets", "what-if", "--events", "none.jsonl", "--plot", plot]) == 2
    assert said in capsys.readouterr().err


def test_recordings_may_be_compressed_split_or_piped(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (here / "rec.jsonl").read_bytes()
    half = whole.index(b"\n", len(whole) // 2) + 1
    (tmp_path / "a.jsonl").write_bytes(whole[:half])
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(whole[half:]))
    command = ["backtest", "--budgets", str(here / "what-if"), "--output", "json", "--events"]
    assert main([*command, str(here / "rec.jsonl")]) == 0
    told = capsys.readouterr().out
    assert main([*command, str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl.gz")]) == 0
    assert capsys.readouterr().out == told
    with (here / "rec.jsonl").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert main([*command, "-"]) == 0
    assert capsys.readouterr().out == told


def test_a_release_without_traffic_is_said(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.yaml").write_text(SEED.replace("model-v42", "model-v99"), encoding="utf-8")
    plot = tmp_path / "x.svg"
    command = [
        "backtest",
        "--budgets",
        str(tmp_path),
        "--events",
        str(here / "rec.jsonl"),
        "--plot",
        str(plot),
    ]
    assert main(command) == 0
    assert "no live request of model-v99 in it: nothing could be judged" in capsys.readouterr().out
    assert "no live traffic to draw" in plot.read_text(encoding="utf-8")


def test_bad_budgets_come_in_one_report(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("release: no\n", encoding="utf-8")
    assert main(["backtest", "--budgets", str(tmp_path), "--events", str(here / "rec.jsonl")]) == 2
    err = capsys.readouterr().err
    assert "a.yaml:1: release: no is not safely a string" in err
    assert "b.yaml:1: release: no is not safely a string" in err


def test_a_recording_that_is_not_there_or_breaks_off_is_said(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["backtest", "--budgets", str(here / "what-if"), "--events"]
    assert main([*command, str(tmp_path / "none.jsonl")]) == 2
    assert "none.jsonl: cannot be read: No such file" in capsys.readouterr().err
    packed = gzip.compress((here / "rec.jsonl").read_bytes())
    (tmp_path / "cut.gz").write_bytes(packed[: len(packed) * 3 // 4])
    assert main([*command, str(tmp_path / "cut.gz")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "broke off" in err


def test_other_warnings_than_a_missing_owner_are_said(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SEED.replace("max_duration_min: 20", "max_duration_min: 20\n    evidence: off", 1)
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    assert (
        main(["backtest", "--budgets", str(tmp_path), "--events", str(here / "rec.jsonl"), "--no-charts"])
        == 0
    )
    err = capsys.readouterr().err
    assert "evidence: off is meant for tests" in err
    assert "owner" not in err
