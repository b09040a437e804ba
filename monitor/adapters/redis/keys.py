"""Every key the product has in Redis, and how long it lives.

| key | type | lives |
| --- | --- | --- |
| `rb:{p:<topic>:<number>}` | hash: one source partition's state | for ever: it has no TTL, fields are dropped by name |
| `rb:{lease:<name>}` | string: the owner | as long as its owner renews it: PX, set at each renewal |

The braces are a Redis Cluster hash tag: all of one partition is in one slot, partitions spread over slots. No command
names two keys, so a cluster needs nothing else (`redis+cluster://`, see `connection.connect`).
"""

from __future__ import annotations

from typing import Final

from monitor.engine.ports import Partition

ACL_PATTERN: Final = "rb:*"
"""What a Redis ACL must let the worker touch: `~rb:*`, and nothing else."""
ACL_COMMANDS: Final = (
    "+evalsha +script|load +info +ping +time +hget +hmget +hset +hgetall +hdel +get +set +del +pexpire"
)
"""What it must let the worker, and `doctor`, do there; scripts need the right to each command that they call."""
ACL_CLUSTER_COMMANDS: Final = "+cluster|slots +command +asking"
"""What a cluster's users need besides."""


def partition_key(partition: Partition) -> str:
    """Return the key of one source partition's hash."""
    return f"rb:{{p:{partition.topic}:{partition.number}}}"


def lease_key(name: str) -> str:
    """Return the key of one lease."""
    return f"rb:{{lease:{name}}}"
