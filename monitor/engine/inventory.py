"""What a partition's state consists of, so that a field that was altered, swapped or lost is noticed.

Three checks, each for what the others cannot see. Every stored value is sealed with a checksum over its name and its
bytes: it was not altered, and is not another field's. Every minute has a manifest that names its fields: whoever reads
some of them knows whether one that is missing was ever there. And the meta data holds count and sum over all seals:
whoever takes the partition over knows that nothing is missing and nothing is older than the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Final, NamedTuple

from monitor.engine.codec import Meta
from monitor.engine.seal import StateDamaged, is_sealed, seal, seal_of, unseal
from monitor.engine.stay import Stay, checking_us

MANIFEST_PREFIX: Final = "n|"
NAME_BYTES: Final = 8  # of a field's name in a manifest: two names of one minute are never alike
_KINDS: Final = ("c", "l", "n")  # what a field of a minute begins with: cells, later labels, manifests


class Tally(NamedTuple):
    """How many fields are kept, and the sum of their seals: equal for equal state, whatever the order of writes."""

    fields: int
    seals: int


def manifest_field(minute: int) -> str:
    """Return the hash field that holds a minute's manifest."""
    return f"{MANIFEST_PREFIX}{minute}"


def name_hash(field: str) -> bytes:
    """Return what a manifest holds of a field's name."""
    return blake2b(field.encode(), digest_size=NAME_BYTES).digest()


def names_in(field: str, packed: bytes | None) -> frozenset[bytes] | None:
    """Return the names that a minute's manifest holds; None where there is none.

    Raises:
        StateDamaged: It was altered.
    """
    if packed is None:
        return None
    names = unseal(field, packed)
    if len(names) % NAME_BYTES or not is_sealed(packed):
        raise StateDamaged(f"the manifest {field!r} has {len(names)} bytes, and no whole number of names")
    return frozenset(names[at : at + NAME_BYTES] for at in range(0, len(names), NAME_BYTES))


def check_presence(field: str, packed: bytes | None, names: frozenset[bytes] | None) -> None:
    """Hold a cell that was found, or not found, to its minute's manifest.

    A cell without a seal is of an older version, which wrote no manifests.

    Raises:
        StateDamaged: One of the two is missing.
    """
    if packed is None:
        if names and name_hash(field) in names:
            raise StateDamaged(f"the cell {field!r} is missing: its minute's manifest names it")
    elif is_sealed(packed) and (names is None or name_hash(field) not in names):
        raise StateDamaged(f"the cell {field!r} is in no manifest of its minute")


class Inventory:
    """The stored cells and manifests of one partition, as its writer knows them.

    Attributes:
        kept_from: The first minute that counts: fields of earlier ones may be deleted at any time.
    """

    def __init__(self) -> None:
        self.kept_from = 0
        self._minutes: dict[int, dict[str, int]] = {}
        self._fields = 0
        self._seals = 0

    @property
    def tally(self) -> Tally:
        """Count and sum over the minutes that count."""
        return Tally(self._fields, self._seals)

    def size_of(self, minute: int) -> int:
        """Return how many fields a minute has."""
        return len(self._minutes.get(minute, ()))

    def finding(self, fields: Mapping[str, bytes], meta: Meta | None) -> Iterator[None]:
        """Take in what was found at a claim, checked as a whole; yields wherever somebody else may have a turn.

        Raises:
            StateDamaged: A field was altered, or they are not the ones that the meta data speaks of.
        """
        self.kept_from = 0 if meta is None else meta.kept_from
        stay = Stay()
        for field, packed in fields.items():
            if stay.is_over_after(checking_us(packed)):
                yield
            minute = minute_of_field(field)
            if minute is not None:
                unseal(field, packed)
                self._note(minute, field, seal_of(field, packed))
        if meta is None or meta.fields is None:
            return  # of an older version, which kept no count
        if self.tally != (meta.fields, meta.seals):
            raise StateDamaged(
                f"{self._fields} cells are stored with seals that add up to {self._seals}; the meta data speaks of "
                f"{meta.fields} and {meta.seals}"
            )

    def sealed(self, cells: Mapping[int, Mapping[str, bytes]]) -> dict[str, bytes]:
        """Take in the cells of a write, by minute, and return its fields: sealed, and with the manifests they need."""
        fields: dict[str, bytes] = {}
        for minute, packed_by_field in cells.items():
            known = len(self._minutes.get(minute, ()))
            for field, packed in packed_by_field.items():
                fields[field] = seal(field, packed)
                self._note(minute, field, seal_of(field, fields[field]))
            if len(self._minutes[minute]) != known:
                field = manifest_field(minute)
                self._note(minute, field, 0)
                fields[field] = seal(field, self._manifest(minute, field))
                self._note(minute, field, seal_of(field, fields[field]))
        return fields

    def _manifest(self, minute: int, own: str) -> bytes:
        return b"".join(sorted(name_hash(field) for field in self._minutes[minute] if field != own))

    def _note(self, minute: int, field: str, value: int) -> None:
        fields = self._minutes.setdefault(minute, {})
        if minute >= self.kept_from:
            self._fields += field not in fields
            self._seals += value - fields.get(field, 0)
        fields[field] = value

    def keep_from(self, minute: int) -> None:
        """Let the minutes before this one count no more, from the next write of the meta data on."""
        if minute <= self.kept_from:
            return
        for old, fields in self._minutes.items():
            if self.kept_from <= old < minute:
                self._fields -= len(fields)
                self._seals -= sum(fields.values())
        self.kept_from = minute

    def old_fields(self, before_minute: int, most: int) -> list[str]:
        """Return the fields of minutes before this one, whole minutes and at most so many fields, and forget them."""
        old: list[str] = []
        for minute in sorted(one for one in self._minutes if one < min(before_minute, self.kept_from)):
            if len(old) + len(self._minutes[minute]) > most:
                break
            old += sorted(self._minutes.pop(minute))
        return old


def minute_of_field(field: str) -> int | None:
    """Return the minute that a cell or a manifest belongs to, without reading the rest of its name; None for others.

    Raises:
        StateDamaged: It is named like one of them, and names no minute.
    """
    kind, bar, rest = field.partition("|")
    if not bar or kind[:1] not in _KINDS:
        return None
    minute = rest.partition("|")[0]
    if not minute.isdecimal():
        raise StateDamaged(f"the field {field!r} names no minute")
    return int(minute)
