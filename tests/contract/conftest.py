"""A cluster of one node, for the ports that a cluster serves too; larger ones fail over in `tests/chaos`."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from monitor.adapters.embedded.server import HOST
from tests.chaos.cluster import SLOTS, ClusterNode

FORM_S = 60.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ClusterNode(tmp_path_factory.mktemp("cluster")) as node:
        node.ask("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)
        deadline = time.monotonic() + FORM_S
        while node.facts("CLUSTER", "INFO")["cluster_state"] != "ok":
            assert time.monotonic() < deadline, node.facts("CLUSTER", "INFO")
            time.sleep(0.05)
        yield f"redis+cluster://{HOST}:{node.port}"
