"""How cells and a partition's meta data are packed into the fields of its state hash, and read back.

A cell is one MessagePack array of whole numbers, with an array like it for each of its parts. A sketch's counts
go between its first and last bin as 1, 2, 4 or 8 bytes each, whatever the largest needs, or one by one with the
bins they are in where that is shorter: a part has few. The first element is the layout's version.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from monitor.core.aggregate import Aggregate
from monitor.core.cell import CellKey
from monitor.core.cohort import CohortKey
from monitor.core.exemplar import Exemplar
from monitor.core.partition import Totals
from monitor.core.plan import SHARDS
from monitor.core.sketch import UNFINISHED_BIN, Sketch
from monitor.core.units import HASH_BYTES, UNITS_KEPT, UnitSample
from monitor.engine.seal import StateDamaged, opened, seal, unseal

CELL_VERSION: Final = 2
_UNBROKEN_VERSION: Final = 1  # without parts: what is stored in it is still read
META_FIELD: Final = "meta"
OFFSET_FIELD: Final = "offset"
DEADLY_FIELD: Final = "deadly"  # offsets that a take-over reads again and must not decode
TOKEN_FIELD: Final = "token"  # noqa: S105 - a field's name: who may write the partition
_CELL_PREFIX: Final = "c"
_LATER_PREFIX: Final = "l"
_FEW: Final = "few"  # in place of a width: bins and counts one by one
_WIDTHS: Final = (("B", 0xFF), ("H", 0xFFFF), ("I", 0xFFFFFFFF), ("Q", (1 << 64) - 1))
_SIZES: Final = {code: array(code).itemsize for code, _ in _WIDTHS}
_SHARDS: Final = frozenset({"", *(str(shard) for shard in range(1, SHARDS))})
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode
_as_json = msgspec.json.Encoder().encode
_from_json = msgspec.json.Decoder(list[tuple[str, str]]).decode


class Meta(msgspec.Struct, frozen=True, array_like=True):
    """What a partition's hash says beside its cells, replaced together with them.

    Attributes:
        base: The offset this state began at; totals speak of the records from there on.
        clock_ms, complete_ms, first_minute: As `PartitionFold` has them.
        warm_offset, warm_clock_ms: Re-reading from this offset with this clock rebuilds the seen ids.
        kept_from: The first minute whose fields count here; earlier ones may be gone already.
        fields, seals: How many cells and manifests are stored, and the sum of their seals; None before it was kept.
    """

    version: int
    base: int
    clock_ms: int | None
    complete_ms: int | None
    first_minute: int | None
    warm_offset: int
    warm_clock_ms: int | None
    accepted: int
    late: int
    duplicates: int
    rejected: int
    gaps: int
    other_releases: int
    late_by_release: dict[str, int]
    others: dict[str, int]
    labels_delayed_ms: dict[str, int] = {}
    kept_from: int = 0
    fields: int | None = None
    seals: int = 0

    @property
    def totals(self) -> Totals:
        """The totals as the fold keeps them."""
        return Totals(
            self.accepted, self.late, self.duplicates, self.rejected, self.gaps, self.other_releases
        )

    @property
    def horizon_ms(self) -> int | None:
        """Event time up to which the partition is read; None before anything was."""
        if self.clock_ms is None or self.complete_ms is None:
            return self.complete_ms if self.clock_ms is None else self.clock_ms
        return max(self.clock_ms, self.complete_ms)


_meta_decoder = msgspec.msgpack.Decoder(Meta)


def encode_meta(meta: Meta) -> bytes:
    """Return the meta field's bytes, sealed."""
    return seal(META_FIELD, _pack(meta))


def decode_meta(packed: bytes) -> Meta:
    """Return the meta data; raises `StateDamaged`."""
    try:
        return _meta_decoder.decode(unseal(META_FIELD, packed))
    except msgspec.MsgspecError as error:
        raise StateDamaged(f"the meta field is no meta data: {error}") from error


def read_meta(packed: bytes | None, offset: bytes | None) -> Meta | None:
    """Return the meta data that stands beside this offset; None where there is no state yet.

    Raises:
        StateDamaged: They cannot be read, or do not speak of the same records.
    """
    if packed is None and offset is None:
        return None
    if packed is None or offset is None or not offset.isdigit():
        raise StateDamaged(
            f"the offset is {offset!r}" + (", without meta data" if packed is None else ", no number")
        )
    meta = decode_meta(packed)
    if meta.totals.records + meta.gaps != int(offset) - meta.base:
        raise StateDamaged(
            f"the totals speak of {meta.totals.records} records and {meta.gaps} gaps, the offsets of "
            f"{int(offset) - meta.base}"
        )
    return meta


def encode_deadly(offsets: Iterable[int]) -> bytes:
    """Return the bytes of the field that names records which must not be decoded, sealed."""
    return seal(DEADLY_FIELD, b" ".join(str(one).encode() for one in sorted(offsets)))


def decode_deadly(packed: bytes | None) -> set[int]:
    """Return their offsets, none where there is no such field; raises `StateDamaged`."""
    words = b"" if packed is None else unseal(DEADLY_FIELD, packed)
    try:
        return {int(word) for word in words.split()}
    except ValueError as error:
        raise StateDamaged(f"the field {DEADLY_FIELD!r} holds no offsets: {error}") from error


def cell_field(key: CellKey) -> str:
    """Return the hash field that holds a cell, e.g. `c|29345678|model-v42|[]`; a shard's number follows the `c`."""
    prefix = _LATER_PREFIX if key.later else _CELL_PREFIX
    if key.shard:
        prefix += str(key.shard)
    return f"{prefix}|{key.minute}|{key.release}|{_as_json(key.view).decode()}"


def cell_key(field: str) -> CellKey | None:
    """Return the key of a cell's field; None for a field that holds no cell.

    The release may itself contain `|`; the view is JSON and begins at the last `|[`.
    """
    prefix, _, rest = field.partition("|")
    shard = prefix[1:]
    if prefix[:1] not in (_CELL_PREFIX, _LATER_PREFIX) or shard not in _SHARDS:
        return None
    minute, _, rest = rest.partition("|")
    try:
        release, view = _split_view(rest)
        key = CohortKey(tuple(_from_json(view)))
        return CellKey(int(minute), release, key, prefix[0] == _LATER_PREFIX, int(shard or 0))
    except (ValueError, msgspec.MsgspecError) as error:
        raise StateDamaged(f"the field {field!r} names no cell") from error


def _split_view(rest: str) -> tuple[str, str]:
    at = rest.rindex("|[") if rest.endswith("]") else -1
    while at >= 0:
        try:
            _from_json(rest[at + 1 :])
        except msgspec.MsgspecError:
            at = rest.rfind("|[", 0, at)
            continue
        return rest[:at], rest[at + 1 :]
    raise ValueError(rest)


def encode_cell(cell: Aggregate) -> bytes:
    """Return a cell's bytes: absolute values, so that writing it twice is writing it once."""
    parts = {value: _packed_part(part) for value, part in cell.parts.items()}
    units = () if cell.units is None else (b"".join(cell.units.hashes),)
    return _pack((CELL_VERSION, *_packed(cell), parts, *units))


def encode_cells(cells: Mapping[CellKey, Aggregate], most_bytes: int) -> tuple[dict[CellKey, bytes], bool]:
    """Return the bytes of cells that are written together, and whether their parts had to give up their exemplars.

    They do where all together would take more: texts come from outside, and no choice of theirs may keep counts from
    being written.
    """
    packed = {key: encode_cell(cell) for key, cell in cells.items()}
    if sum(map(len, packed.values())) <= most_bytes:
        return packed, False
    for cell in cells.values():
        for part in cell.parts.values():
            part.exemplars.clear()
            part.packed = None
    return {key: encode_cell(cell) for key, cell in cells.items()}, True


def _packed_part(part: Aggregate) -> msgspec.Raw:
    """Return a part's bytes: those of the last time, unless it changed."""
    if part.packed is None:
        part.packed = _pack(_packed(part))
    return msgspec.Raw(part.packed)


def _packed(cell: Aggregate) -> tuple[object, ...]:
    """Return what a cell holds outside its parts."""
    cell.settle()
    return (
        cell.requests,
        cell.errors,
        cell.timeouts,
        cell.incidents,
        cell.first_at_ms,
        cell.known,
        cell.hits,
        cell.outcomes,
        {name: _pack_sketch(sketch) for name, sketch in cell.sketches.items()},
        cell.exemplars,
    )


def decode_cell(packed: bytes) -> Aggregate:
    """Return the cell; raises `StateDamaged` where the bytes are not one.

    A seal is stepped over: who knows the field's name checks it (`monitor.engine.seal.unseal`).
    """
    try:
        version, *rest = _unpack(opened(packed))
        units = rest.pop() if rest and isinstance(rest[-1], bytes) else None
        parts = rest.pop() if version == CELL_VERSION else {}
        if version not in (CELL_VERSION, _UNBROKEN_VERSION):
            raise StateDamaged(f"a cell has layout {version}; this version reads {CELL_VERSION}")
        cell = _cell(*rest)
        cell.parts = {value: _cell(*part) for value, part in parts.items()}
        cell.units = None if units is None else _units(units)
        return cell
    except (msgspec.MsgspecError, AttributeError, IndexError, TypeError, ValueError) as error:
        raise StateDamaged(f"a cell of {len(packed)} bytes cannot be read: {error}") from error


def _units(packed: bytes) -> UnitSample:
    if len(packed) % HASH_BYTES or len(packed) > UNITS_KEPT * HASH_BYTES:
        raise StateDamaged(f"a sample of units has {len(packed)} bytes")
    return UnitSample(packed[at : at + HASH_BYTES] for at in range(0, len(packed), HASH_BYTES))


def _cell(
    requests: int,
    errors: int,
    timeouts: int,
    incidents: int,
    first_at_ms: int,
    known: list[int],
    hits: list[int],
    outcomes: Mapping[str, list[int]],
    sketches: Mapping[str, tuple[int, str, bytes | list[int], int, int]],
    exemplars: Mapping[str, list[tuple[int, str, str]]],
) -> Aggregate:
    cell = Aggregate()
    cell.requests, cell.errors, cell.timeouts = requests, errors, timeouts
    cell.incidents, cell.first_at_ms = incidents, first_at_ms
    cell.known, cell.hits = known, hits
    cell.outcomes = {name: list(counts) for name, counts in outcomes.items()}
    cell.sketches = {name: _unpack_sketch(*packed) for name, packed in sketches.items()}
    cell.exemplars = {name: [Exemplar(*one) for one in kept] for name, kept in exemplars.items()}
    return cell


def _pack_sketch(sketch: Sketch) -> tuple[int, str, bytes | list[int], int, int]:
    bins, numbers = sketch.rising()
    unfinished = 0
    if bins and bins[-1] == UNFINISHED_BIN:
        unfinished, bins, numbers = numbers[-1], bins[:-1], numbers[:-1]
    if not bins:
        return 0, "B", b"", sketch.total, unfinished
    low, largest = bins[0], max(numbers)
    span = bins[-1] - low + 1
    width = "B" if largest <= _WIDTHS[0][1] else next(code for code, most in _WIDTHS if largest <= most)
    size = _SIZES[width]
    if len(bins) * (2 + size) < span * size:
        few = [0] * (2 * len(bins))
        few[::2] = [index - low for index in bins]
        few[1::2] = numbers
        return low, _FEW, few, sketch.total, unfinished
    counts = array(width, bytes(span * size))
    for index, count in zip(bins, numbers, strict=True):
        counts[index - low] = count
    if sys.byteorder == "big":
        counts.byteswap()
    return low, width, counts.tobytes(), sketch.total, unfinished


def _unpack_sketch(low: int, width: str, packed: bytes | list[int], total: int, unfinished: int) -> Sketch:
    if isinstance(packed, list):
        bins = {low + index: count for index, count in zip(packed[::2], packed[1::2], strict=True)}
    else:
        counts = array(width)
        counts.frombytes(packed)
        if sys.byteorder == "big":
            counts.byteswap()
        bins = {low + index: count for index, count in enumerate(counts) if count}
    if unfinished:
        bins[UNFINISHED_BIN] = unfinished
    return Sketch(bins, total)
