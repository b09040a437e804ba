"""What a call to Kafka that failed says of the reason, which the library only logs."""

from __future__ import annotations

import asyncio
import logging
import ssl

import pytest
from aiokafka.errors import KafkaConnectionError, SaslAuthenticationFailed

from monitor.adapters.kafka.client import bounded, silent_library
from monitor.engine.errors import LogUnreachable

LIBRARY = logging.getLogger("aiokafka")


async def refused(*why: BaseException) -> None:
    """Fail as the library does where no broker can be connected to."""
    for one in why:
        LIBRARY.error('Unable connect to "%s:%s": %s', "kafka", 9092, one)
    raise KafkaConnectionError("Unable to bootstrap from [('kafka', 9092)]")


async def said(*why: BaseException) -> str:
    with pytest.raises(LogUnreachable) as found:
        await bounded(refused(*why), 5, "connecting to kafka")
    return str(found.value)


async def test_the_last_reason_is_said_with_what_to_do_and_the_addresses_only_without_one() -> None:
    assert (
        await said()
        == "connecting to kafka: KafkaConnectionError: Unable to bootstrap from [('kafka', 9092)]"
    )
    assert await said(OSError("away"), SaslAuthenticationFailed("bad\ncredentials")) == (
        "connecting to kafka: [Error 58] SaslAuthenticationFailed: bad credentials: "
        "look at kafka_username, kafka_password and kafka_sasl_mechanism"
    )
    assert await said(ConnectionResetError()) == (
        "connecting to kafka: ConnectionResetError: is this the port for kafka_security_protocol?"
    )
    assert "kafka_ca_file" in await said(ssl.SSLCertVerificationError("self-signed"))
    assert await said(OSError("no such host")) == "connecting to kafka: no such host"


async def test_what_is_not_answered_in_time_says_what_was_heard_until_then() -> None:
    async def waits() -> None:
        LIBRARY.error("Unable connect to node with id %s: %s", 1, OSError("no route"))
        await asyncio.sleep(60)

    with pytest.raises(LogUnreachable, match=r"^asking: no answer within 0.05 s; no route$"):
        await bounded(waits(), 0.05, "asking")


async def test_nothing_is_heard_of_another_call_nor_of_what_a_client_meets_later() -> None:
    meanwhile, later = asyncio.Event(), asyncio.Event()
    tasks: list[asyncio.Task[None]] = []

    async def in_the_background() -> None:
        await later.wait()
        LIBRARY.error("Unable connect to node with id %s: %s", 1, OSError("of the first client"))
        meanwhile.set()

    async def starts() -> None:
        tasks.append(asyncio.create_task(in_the_background()))

    await bounded(starts(), 5, "starting")
    context = tasks[0].get_context() if hasattr(tasks[0], "get_context") else None
    later.set()
    await meanwhile.wait()
    await tasks[0]
    assert "first client" not in await said()
    if context is not None:  # from Python 3.12 on
        (heard,) = (value for variable, value in context.items() if variable.name == "heard")
        assert heard.last is None


async def test_the_reason_is_heard_where_the_library_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    before = list(LIBRARY.filters)
    with silent_library():
        assert await said(OSError("no such host")) == "connecting to kafka: no such host"
    assert caplog.text == ""
    assert LIBRARY.filters == before  # it is silent no longer
