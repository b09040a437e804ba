"""Reading records as the library's parser makes them, without an object of the library's own around each.

`getmany` wraps every parsed record in a `ConsumerRecord`, a frozen dataclass made in Python; that takes more time than
fetching, checking and parsing it. What is read here has an offset, a timestamp and a value already, so it is handed out
as it is. Nothing else of the library is replaced: it fetches, checks CRCs, waits and keeps positions as ever, and
`tests/adapters/kafka/test_drain.py` holds the records to be those that `getmany` gives.

This looks into the library's fetcher, so it is for the versions named here; with any other one, or where the fetcher
looks different, records come as `getmany` gives them.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain, islice
from operator import length_hint
from typing import Any, Final

import aiokafka
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException

from monitor.adapters.kafka.batch_bounds import BatchTooLarge, bound_batches, refused

_log = logging.getLogger(__name__)

KNOWN_VERSIONS: Final = ("0.14.",)
RECORDS_AT_ONCE: Final = 20_000  # of one batch: a packed one may hold millions of empty ones


class BareRecords(PartitionRecords):  # type: ignore[misc]  # the library has no types
    """What one fetch brought of a partition; gives records as they were parsed, a batch of the log at a time."""

    _batch: list[Any]
    _left: Iterator[Any]
    _start: int

    @classmethod
    def of(cls, records: PartitionRecords) -> BareRecords:
        """Return the same, which nobody has read from yet."""
        bare = cls.__new__(cls)
        start = records.__dict__.pop("next_fetch_offset")
        bare.__dict__.update(records.__dict__)
        bare._batch, bare._left, bare._start = [], iter(()), start
        bare._records_iterator = chain.from_iterable(bare._batches())
        records._records_iterator = None  # it holds `records`: a cycle with a fetch's bytes in it
        return bare

    @property
    def next_fetch_offset(self) -> int:
        """The offset behind the record that was given last.

        Told by what is left of its batch: noting it at every record would take as long as giving the record.
        """
        given = len(self._batch) - length_hint(self._left)
        return int(self._batch[given - 1].offset) + 1 if given else self._start

    def __iter__(self) -> Iterator[Any]:
        iterator: Iterator[Any] = self._records_iterator
        return iterator

    def _batches(self) -> Iterator[Iterator[Any]]:
        """Yield the records of each batch; as the library's own, but for what it wraps them in."""
        records = self._records
        while records.has_next():
            batch = records.next_batch()
            if self._check_crcs and not batch.validate_crc():
                raise CorruptRecordException(f"Invalid CRC - {self._tp}")
            if batch.is_control_batch or self._isolation_level == READ_COMMITTED:
                is_skipped = self._is_aborted(batch) or batch.is_control_batch
            else:
                is_skipped = False
            if not is_skipped:
                for found in _some_at_once(batch):
                    # A compressed batch may begin before what was asked for.
                    if found[0].offset < self._start:
                        found = [record for record in found if record.offset >= self._start]
                    self._batch, self._left = found, iter(found)
                    yield self._left
                    self._start = max(self._start, found[-1].offset + 1 if found else 0)
            self._batch, self._left, self._start = [], iter(()), batch.next_offset

    def _is_aborted(self, batch: Any) -> bool:
        """Take note of what a batch says about transactions; tell whether it is of one that was given up."""
        if self._isolation_level != READ_COMMITTED or batch.producer_id is None:
            return False
        self._consume_aborted_up_to(batch.base_offset)
        if batch.is_control_batch and self._contains_abort_marker(batch):
            self._aborted_producers.discard(batch.producer_id)
        return bool(batch.is_transactional and batch.producer_id in self._aborted_producers)


def _some_at_once(batch: Any) -> Iterator[list[Any]]:
    """Yield the records of a batch; of one that unpacks to too much, what stands for them."""
    try:
        # The library's batches may be asked for their iterator once, and not again once they have ended.
        records: Iterator[Any] = chain.from_iterable((batch,))
        first = list(islice(records, RECORDS_AT_ONCE))
    except BatchTooLarge as error:
        _log.error("offsets %d to %d are refused: %s", batch.base_offset, batch.next_offset - 1, error)
        records = refused(batch)
        first = list(islice(records, RECORDS_AT_ONCE))
    while first:
        yield first
        first = list(islice(records, RECORDS_AT_ONCE)) if len(first) == RECORDS_AT_ONCE else []


class _Fetched(OrderedDict[Any, Any]):
    """The fetcher's answers by partition, with their records bare."""

    def __setitem__(self, key: Any, value: Any) -> None:
        if type(value) is FetchResult and type(value._partition_records) is PartitionRecords:
            value._partition_records = BareRecords.of(value._partition_records)
        super().__setitem__(key, value)


def drain_bare(consumer: aiokafka.AIOKafkaConsumer) -> bool:
    """Let a consumer that was started give records as they were parsed; False where it goes on as it is."""
    fetcher: Any = vars(consumer).get("_fetcher")
    looks_known = type(getattr(fetcher, "_records", None)) is OrderedDict
    if (
        not aiokafka.__version__.startswith(KNOWN_VERSIONS)
        or not looks_known
        or fetcher._key_deserializer
        or fetcher._value_deserializer
    ):
        _log.warning("aiokafka %s is not one that records can be drained from bare", aiokafka.__version__)
        return False
    bound_batches()
    fetcher._records = _Fetched(fetcher._records)
    return True
