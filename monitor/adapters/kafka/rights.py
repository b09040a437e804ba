"""What this user may do with topics, as the broker itself says: asked, not tried, so nothing is written by asking.

Source: KIP-430 (authorized operations in the metadata answer, version 8; Kafka 2.3 and later). The client library
speaks version 5 at most, so that one version is described here. A broker without an authorizer allows everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

_UNKNOWN: Final = -(2**31)  # the broker did not say
_OPERATIONS: Final = {"read": 3, "write": 4, "describe": 8}
_HIDDEN: Final = 29  # TOPIC_AUTHORIZATION_FAILED: not even to be seen


class _MetadataResponse8(Response):  # type: ignore[misc]  # the library has no types
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            Array(("node_id", Int32), ("host", String("utf-8")), ("port", Int32), ("rack", String("utf-8"))),
        ),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String("utf-8")),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class _MetadataRequest8(RequestStruct):  # type: ignore[misc]  # as above
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _MetadataResponse8
    SCHEMA = Schema(
        ("topics", Array(String("utf-8"))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class _RightsRequest(Request[_MetadataRequest8]):  # type: ignore[misc]  # as above
    API_KEY = 3

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = list(topics)

    def build(self, request_struct_class: Any) -> Any:
        """Return the request of the one version there is; a topic is never created by asking for it."""
        return request_struct_class(self._topics, False, False, True)


async def rights_of(admin: Any, topics: Sequence[str]) -> Mapping[str, frozenset[str] | None]:
    """Return what this user may do with each topic: `read`, `write`, `describe`; None where the broker does not say.

    Args:
        admin: A started admin client of the library.

    Raises:
        KafkaError: No answer.
    """
    answer = await admin._send_request(_RightsRequest(topics))
    rows = answer.to_object()["topics"]
    return {row["topic"]: _rights(row["error_code"], row["authorized_operations"]) for row in rows}


def _rights(error_code: int, operations: int) -> frozenset[str] | None:
    if error_code == _HIDDEN:
        return frozenset()
    if error_code or operations == _UNKNOWN:
        return None
    return frozenset(name for name, bit in _OPERATIONS.items() if operations & (1 << bit))
