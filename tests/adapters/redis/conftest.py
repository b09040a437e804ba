"""A Valkey of one's own, for tests that change the server's settings or kill it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from monitor.adapters.embedded.valkey import EmbeddedValkey


@pytest.fixture
def own_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(tmp_path_factory.mktemp("own-valkey")) as server:
        yield server
