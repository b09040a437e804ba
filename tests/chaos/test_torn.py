"""A flush is in the file whole or not at all, wherever the file ends; `make chaos` tears it at every byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from redis import Redis

from monitor.adapters.embedded.errors import EmbeddedUnavailable
from monitor.adapters.embedded.valkey import EmbeddedValkey
from tests.chaos.__main__ import main
from tests.chaos.servers import Valkey
from tests.chaos.torn import POSITIONS, Kept, torn_everywhere, written


def test_a_torn_tail_never_shows_half_a_flush_also_at_the_second_restart(tmp_path: Path) -> None:
    """Once in 64 positions, on a server that cuts torn tails off, and on one that refuses them."""
    kept = written(tmp_path, seed=1)
    assert kept.last_bytes >= POSITIONS
    assert kept.before != kept.after
    found = list(torn_everywhere(kept, tmp_path, every=128))
    assert [one for one in found if not one.is_right] == []
    assert {one.seen[0] for one in found} == {"before", "after"}
    strict = list(torn_everywhere(kept, tmp_path, every=512, cuts_tails=False))
    assert [one.seen for one in strict] == [("after",) * 2] + [("refused",) * 2] * (len(strict) - 1)


def test_a_store_whose_file_is_torn_begins_anew_as_people_are_told_to_let_it(tmp_path: Path) -> None:
    """A world goes on, and its workers rebuild, where a kill met the server in the middle of a write."""
    with Valkey(tmp_path) as server, Redis.from_url(server.url) as client:
        client.set("k", "v" * 100)
        server.kill()
        (tail,) = (tmp_path / "appendonlydir").glob("*.incr.aof")
        with tail.open("r+b") as file:
            file.truncate(tail.stat().st_size - 1)
        with pytest.raises(EmbeddedUnavailable, match="Unexpected end of file"):
            EmbeddedValkey.start(server)
        server.start()
        assert client.keys() == []


def test_a_mixture_would_be_seen(tmp_path: Path) -> None:
    """The check fails where it must: against a file whose last write is not the one that is known."""
    kept = written(tmp_path, seed=2)
    other = Kept(kept.folder, kept.last_bytes, kept.before, {**kept.before, b"offset": b"7"})
    (whole, *_) = torn_everywhere(other, tmp_path, every=POSITIONS)
    assert not whole.is_right


def test_the_command_tears_counts_and_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`make chaos ARGS="--only torn-tails --positions 4"`, as a person runs it."""
    results = tmp_path / "results.json"
    asked = ["--seed", "3", "--only", "torn-tails", "--positions", "4", "--json", str(results)]
    assert main(asked) == 0
    assert "every promise kept" in capsys.readouterr().out
    (part,) = json.loads(results.read_text(encoding="utf-8")).items()
    assert part[0] == "torn_tails"
    assert sum(part[1]["seen"].values()) >= 4
    assert part[1]["command"] == 'make chaos ARGS="--seed 3 --positions 4 --only torn-tails"'
