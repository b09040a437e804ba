"""Keys are all under one prefix, one partition is in one cluster slot, and nothing collides."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.adapters.redis.connection import DEADLINE_S, deadline_within
from monitor.adapters.redis.keys import ACL_PATTERN, lease_key, partition_key
from monitor.engine.ports import Partition

TOPICS = st.text("abcXYZ019._-", min_size=1, max_size=12)  # what Kafka allows in a topic's name


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (partition_key(Partition("llm.traces.v1", 7)), "rb:{p:llm.traces.v1:7}"),
        (lease_key("evaluate:model-v42"), "rb:{lease:evaluate:model-v42}"),
    ],
)
def test_the_keys_are_those_of_the_documentation(key: str, text: str) -> None:
    assert key == text
    assert fnmatchcase(key, ACL_PATTERN)


@given(one=st.tuples(TOPICS, st.integers(0, 99)), other=st.tuples(TOPICS, st.integers(0, 99)))
def test_two_partitions_never_share_a_key(one: tuple[str, int], other: tuple[str, int]) -> None:
    assert (partition_key(Partition(*one)) == partition_key(Partition(*other))) == (one == other)


@given(topic=TOPICS, number=st.integers(0, 99))
def test_the_hash_tag_is_the_source_partition(topic: str, number: int) -> None:
    key = partition_key(Partition(topic, number))
    tag = key[key.index("{") + 1 : key.index("}")]
    assert tag == f"p:{topic}:{number}"


@pytest.mark.parametrize("session_ms", [6_000, 10_000, 30_000])
def test_waiting_for_the_store_costs_no_membership(session_ms: int) -> None:
    assert deadline_within(session_ms) < session_ms / 3_000
    assert deadline_within(session_ms) <= DEADLINE_S
