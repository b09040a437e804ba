"""Giving a producer up whose broker is gone: nothing of the library goes on, breaks or is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError

from monitor.adapters.kafka.client import stop_client
from monitor.adapters.kafka.log import KafkaLog
from monitor.adapters.kafka.security import KafkaAccess
from monitor.engine.errors import LogUnreachable

TOPIC = "t"


class Broker:
    """A broker behind a real producer's back: every request waits until the connection is closed, or breaks at once."""

    def __init__(self) -> None:
        self.asked, self.closed = asyncio.Event(), asyncio.Event()
        self.refreshed = asyncio.get_running_loop().create_future()  # metadata that never come
        self.defect: Exception | None = None

    def behind(self, producer: AIOKafkaProducer) -> AIOKafkaProducer:
        client, sender = producer.client, producer._sender

        async def nothing(*_: object) -> None: ...

        async def known_id(_: object) -> bool:
            producer._txn_manager.set_pid_and_epoch(7, 0)
            return True

        client.bootstrap, client._wait_on_metadata, client.close = nothing, nothing, self.close
        client.send, client._maybe_wait_metadata = self.send, self._metadata
        client.force_metadata_update = lambda: asyncio.shield(self.refreshed)
        client.cluster.leader_for_partition = lambda _: 0
        client.cluster.partitions_for_topic = lambda _: {0}
        client.cluster.available_partitions_for_topic = lambda _: {0}
        client.get_random_node = lambda: 0
        sender._do_init_pid = known_id
        return producer

    async def send(self, *_: object, **__: object) -> object:
        self.asked.set()
        if self.defect is not None:
            raise self.defect
        await self.closed.wait()
        raise KafkaConnectionError("Connection closed")

    async def close(self) -> None:
        self.closed.set()

    async def _metadata(self) -> None:
        await asyncio.shield(self.refreshed)


@pytest.fixture
async def unseen() -> AsyncIterator[list[str]]:
    """What the loop heard of that nobody looked at."""
    loop, heard = asyncio.get_running_loop(), list[str]()
    loop.set_exception_handler(lambda _, context: heard.append(f"{context['message']}: {context}"))
    yield heard
    loop.set_exception_handler(None)


def made() -> AIOKafkaProducer:
    return AIOKafkaProducer(bootstrap_servers="127.0.0.1:1", enable_idempotence=True, retry_backoff_ms=5)


async def turns(number: int = 50) -> None:
    for _ in range(number):
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("is_back_in_line", [False, True], ids=["in flight", "waiting for its second try"])
async def test_what_it_had_still_to_send_ends_and_breaks_nothing(
    unseen: list[str], is_back_in_line: bool
) -> None:
    broker = Broker()
    producer = broker.behind(made())
    await producer.start()
    sends = [asyncio.create_task(producer.send_and_wait(TOPIC, b"1", partition=0))]
    await broker.asked.wait()
    if is_back_in_line:
        await broker.close()  # the request fails, and its batch is put back in line
        await turns()
    await stop_client(producer, deadline_s=0.01)
    answers = await asyncio.gather(*sends, return_exceptions=True)
    await turns()
    assert [type(one) for one in answers] == [KafkaConnectionError]
    assert producer._sender.sender_task.cancelled()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not [one for one in others if "aiokafka" in repr(one)]
    assert unseen == []


async def test_a_sender_that_broke_is_said_and_the_next_record_has_a_new_producer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A defect of the library ends its sender for good: no append waits for it, and the log goes on without it."""
    brokers: list[Broker] = []

    def make(_: KafkaLog) -> AIOKafkaProducer:
        brokers.append(Broker())
        brokers[-1].defect = RuntimeError("a defect") if len(brokers) == 1 else KafkaError("well, no broker")
        return brokers[-1].behind(made())

    monkeypatch.setattr(KafkaLog, "_made", make)
    asyncio.get_running_loop().set_exception_handler(
        lambda *_: None
    )  # the library's own callback breaks then
    log = KafkaLog(KafkaAccess("127.0.0.1:1"))
    with pytest.raises(LogUnreachable, match="Unexpected error during batch delivery"):
        await log.append(TOPIC, "k", b"1")
    with pytest.raises(LogUnreachable, match="no broker"):
        await log.append(TOPIC, "k", b"1")
    assert len(brokers) == 2
    await log.close()


@pytest.mark.parametrize("end", [asyncio.CancelledError(), ValueError("a part has died"), KafkaError()])
async def test_a_client_with_a_dead_part_is_left_without_its_end_reaching_us(end: BaseException) -> None:
    """The library hands a part's end on to whoever stops the client; ours is not cancelled by that."""

    class Maimed:
        closed = False

        class client:  # noqa: N801 - as the library names its connections
            @staticmethod
            async def close() -> None:
                Maimed.closed = True

        async def stop(self) -> None:
            raise end

    await stop_client(Maimed())
    assert Maimed.closed
