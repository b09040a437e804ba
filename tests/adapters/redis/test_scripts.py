"""No script can leave half of its work behind: at most one write command on any path."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from monitor.adapters.embedded.valkey import EmbeddedValkey
from monitor.adapters.redis.connection import connect, script_text
from monitor.adapters.redis.store import RedisStateStore
from monitor.engine.ports import FlushAnswer, Partition

SCRIPTS = sorted(
    entry.name.removesuffix(".lua")
    for entry in files("monitor.adapters.redis").joinpath("lua").iterdir()
    if entry.name.endswith(".lua")
)
READS = {"HGET", "HGETALL", "HMGET", "GET"}
ARITHMETIC = re.compile(r"tonumber|[^-.'\"]\s[+*/%]\s|HINCRBY|INCR")


def writes(text: str) -> list[str]:
    found = re.findall(r"redis\.p?call\('(\w+)'", text)
    return [command for command in found if command not in READS]


def code(name: str) -> str:
    return "\n".join(line.split("--")[0] for line in script_text(name).splitlines())


def test_the_scripts_are_these() -> None:
    assert SCRIPTS == ["claim", "condemn", "drop", "flush", "lease_acquire", "lease_release"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_has_at_most_one_write_command_on_each_way_through(name: str) -> None:
    """Each way ends with its `return`, and a script with two writes is not atomic in a torn file."""
    ways = re.split(r"\breturn\b", code(name))
    assert max(len(writes(way)) for way in ways) == 1


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_never_computes(name: str) -> None:
    """Lua's numbers are doubles: an offset above 2^53 would change silently."""
    assert not ARITHMETIC.search(code(name))


# Each script's steps on one key: what it is given, and its exact answer, which callers may come to rely on.
ANSWERS: dict[str, tuple[tuple[str, list[str], object], ...]] = {
    "the hash": (
        ("claim", ["", "1:a"], [1, [b"token", b"1:a"]]),
        ("claim", ["", "1:a"], [1, [b"token", b"1:a"]]),  # the reply was lost, and it is asked again
        ("claim", ["", "1:b"], [0, b"1:a"]),
        ("claim", ["1:a", "2:b"], [1, [b"token", b"2:b"]]),
        ("flush", ["1:a", "b1", "0", "x", "1"], b"fenced"),
        ("flush", ["2:b", "b1", "0", "batch", "b1", "offset", "5"], b"applied"),
        ("flush", ["2:b", "b1", "0", "batch", "b1", "offset", "5"], b"already_mine"),
        ("flush", ["2:b", "b2", "0", "batch", "b2", "offset", "6"], b"fenced"),
        ("drop", ["1:a", "offset"], b"fenced"),
        ("drop", ["2:b", "offset"], b"applied"),
        ("condemn", ["1:a", "x"], b"fenced"),
        ("condemn", ["2:b", "x"], b"applied"),
        ("claim", ["2:b", "2:b"], [1, [b"token", b"2:b", b"batch", b"b1", b"offset", b"x"]]),
    ),
    "the lease": (
        ("lease_acquire", ["a", "600000"], 1),
        ("lease_acquire", ["b", "600000"], 0),
        ("lease_acquire", ["a", "600000"], 1),
        ("lease_release", ["b"], 0),
        ("lease_release", ["a"], 1),
        ("lease_release", ["a"], 0),
    ),
}


@pytest.mark.parametrize("steps", ANSWERS.values(), ids=ANSWERS)
async def test_a_script_answers_as_it_says(
    steps: tuple[tuple[str, list[str], object], ...], valkey: str, unique: str
) -> None:
    client = connect(valkey, socket_timeout_s=20)
    for number, (name, arguments, answer) in enumerate(steps):
        found = await client.register_script(script_text(name))(keys=[unique], args=arguments)
        assert (number, found) == (number, answer)
    await client.aclose()


async def test_a_flush_is_one_hset_on_the_server(own_valkey: EmbeddedValkey) -> None:
    client = connect(own_valkey.url, socket_timeout_s=20)
    store = RedisStateStore(own_valkey.url, socket_timeout_s=20, deadline_s=60)
    claim = await store.claim(Partition("t", 0), "w1")
    await client.config_resetstat()
    fields = {"offset": b"9007199254740995", "a": b"1", "b": b"2"}
    assert await store.flush(claim, batch="b1", expected_offset=0, fields=fields) is FlushAnswer.APPLIED
    stats = await client.info("commandstats")
    written = {name: row["calls"] for name, row in stats.items() if name in ("cmdstat_hset", "cmdstat_hdel")}
    assert written == {"cmdstat_hset": 1}
    again = {"offset": b"9007199254740996"}  # beside it in a double
    answer = await store.flush(claim, batch="b2", expected_offset=9007199254740996, fields=again)
    assert answer is FlushAnswer.FENCED
    await store.close()
    await client.aclose()
