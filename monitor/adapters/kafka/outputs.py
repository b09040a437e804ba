"""The topics that consumers read, and the internal one that hands incidents to a release's evaluator."""

from __future__ import annotations

import msgspec

from monitor.adapters.kafka.topics import CDEVENTS, DEAD_LETTERS, INCIDENTS
from monitor.adapters.telemetry.spans import injected
from monitor.core.cell import Incident
from monitor.core.decision import Decision
from monitor.engine.ports import DeadLetter, Log, Record, Stamp
from monitor.wire.cdevents import Place, twins
from monitor.wire.cloudevent import of_decision, to_binary
from monitor.wire.dead_letter import dead_letter
from monitor.wire.topics import topic_of

_encode = msgspec.json.Encoder().encode
_decode_incident = msgspec.json.Decoder(Incident).decode


class KafkaOutputs:
    """`Outputs` on a log.

    Args:
        place: Where releases serve, as the twins for delivery tools name it; None: there are none.
    """

    def __init__(self, log: Log, place: Place | None = None) -> None:
        self._log = log
        self._place = place

    async def publish(self, decision: Decision) -> Stamp | None:
        """Publish a decision on its topic, keyed by release; None for the ledger's own types."""
        topic = topic_of(decision.type.value)
        if topic is None:
            return None
        message = to_binary(of_decision(decision))
        stamp = await self._log.append(topic, message.key.decode(), message.value, injected(message.headers))
        for twin in () if self._place is None else twins(decision, self._place):
            made = to_binary(
                twin
            )  # whoever publishes the decision again publishes these again, under their ids
            await self._log.append(CDEVENTS, decision.release, made.value, injected(made.headers))
        return stamp

    async def publish_incident(self, incident: Incident) -> None:
        """Hand an incident to the release's evaluator, whichever instance that is."""
        await self._log.append(INCIDENTS, incident.release, _encode(incident))

    async def publish_dead_letter(self, letter: DeadLetter) -> None:
        """Publish where a record stands that could not be used, and why; never its content."""
        topic, partition = letter.partition
        key, value = dead_letter(
            topic,
            partition,
            letter.offset,
            reason=letter.reason,
            digest=letter.sha256,
            size=letter.size,
            at_ms=letter.at_ms,
        )
        await self._log.append(DEAD_LETTERS, key.decode(), value)


def incident_of(record: Record) -> Incident | None:
    """Return the incident a record of the internal topic holds; None for one that is none."""
    try:
        return None if record.value is None else _decode_incident(record.value)
    except msgspec.MsgspecError:
        return None
