"""flagd by its flag definition file: the default actuator.

flagd itself and the in-process providers watch the file and follow within their poll time (measured: 0.6 s).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from monitor.adapters.flags.api import JsonObject
from monitor.adapters.flags.flag_file import FlagFileActuator, parse_json, write_json
from monitor.adapters.flags.flagd_rules import flag_of, kept, restored, serves_baseline, turned
from monitor.adapters.flags.settings import ActuatorSettings, ActuatorUnusable
from monitor.adapters.needed import needed
from monitor.engine.ports import Actuator, RollbackOrder


def build(settings: ActuatorSettings) -> Actuator:
    """Return the actuator of the settings' file.

    Raises:
        ActuatorUnusable: There is none.
    """
    what = "the flag definition file's path"
    path = needed(
        "actuator 'flagd-file'", settings.flagd_file, "flagd_file", error=ActuatorUnusable, what=what
    )
    return FlagFileActuator(path, FLAGD)


@dataclass(frozen=True, slots=True)
class Flagd:
    """A flagd flag definition file; the rules are in `flagd_rules`."""

    name: str = "flagd-file"
    language: str = "JSON"

    def parse(self, text: str) -> object:
        """Return the document."""
        return parse_json(text)

    def write(self, document: Any) -> str:
        """Return the document's text."""
        return write_json(document)

    def flag_of(self, document: object, order: RollbackOrder, where: str) -> JsonObject:
        """Return the order's flag, checked."""
        return flag_of(document, order, where)

    def serves_baseline(self, flag: JsonObject, order: RollbackOrder) -> bool:
        """Tell whether nothing is left to do."""
        return serves_baseline(flag, order)

    def turned(self, document: JsonObject, order: RollbackOrder) -> JsonObject:
        """Return the document with the order carried out."""
        return turned(document, order)

    def kept(self, document: JsonObject, order: RollbackOrder) -> JsonObject:
        """Return the flag, and which decision the file names as its last."""
        return kept(document, order)

    def restored(self, document: JsonObject, order: RollbackOrder, was: JsonObject) -> JsonObject:
        """Return the document with both as they were."""
        return restored(document, order, was)


FLAGD: Final = Flagd()
