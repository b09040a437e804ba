"""The webhook actuator against a real HTTP server: the order it sends, what it believes, what it gives up on."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from monitor.adapters.flags.webhook import ORDER_TYPE, WebhookActuator
from monitor.adapters.http import SignedWebhook
from monitor.engine.errors import ActuatorFailed, ApprovalRequired
from tests.adapters.orders import order
from tests.adapters.receiver import LOCAL, SECRET, FakeTime, Receiver, answer, receiver


def actuator(server: Receiver, time: FakeTime | None = None, *, verify: bool = False) -> WebhookActuator:
    """Return an actuator of that server."""
    hook = SignedWebhook(server.url, SECRET, limits=LOCAL, timing=(time or FakeTime()).timing())
    return WebhookActuator(hook, verify_url=server.url + "/state?env=prod" if verify else None)


async def test_the_order_is_a_signed_cloudevent_named_by_the_decision() -> None:
    async with receiver() as server:
        server.then = answer(200, {"serving": "v41", "changed": True, "before": {"serving": "v42"}})
        turner = actuator(server)
        effect = await turner.serve_baseline(order(scope="eu", cohort={"tenant": "acme"}))
        await turner.close()
    (sent,) = server.got
    sent.verify()
    assert sent.headers["webhook-id"] == sent.json["id"] == "d1"
    assert sent.json["type"] == ORDER_TYPE
    assert sent.json["data"] == {
        "release": "model-v42", "baseline": "model-v41", "reason": "breach", "flag": "chat-model",
        "serve": "v41", "instead_of": "v42", "scope": "eu", "cohort": {"tenant": "acme"},
    }  # fmt: skip
    assert (effect.changed, effect.before, effect.after) == (True, {"serving": "v42"}, {"serving": "v41"})


async def test_with_a_verify_url_the_flag_itself_is_believed_not_the_answer() -> None:
    async with receiver() as server:
        server.replies = [answer(202), answer(200, {"serving": "v41"})]
        turner = actuator(server, verify=True)
        effect = await turner.serve_baseline(order(scope="eu", cohort={"tenant": "acme"}))
        await turner.close()
    post, get = server.got
    get.verify()
    assert (post.method, get.method) == ("POST", "GET")
    assert get.query == {"env": "prod", "flag": "chat-model", "scope": "eu", "cohort.tenant": "acme"}
    assert effect.after == {"serving": "v41"}


@pytest.mark.parametrize("verify", [False, True])
async def test_a_flag_that_still_serves_the_candidate_is_not_called_rolled_back(verify: bool) -> None:
    async with receiver() as server:
        server.then = answer(200, {"serving": "v42"})
        turner = actuator(server, verify=verify)
        with pytest.raises(ActuatorFailed, match="still serves 'v42'") as failed:
            await turner.serve_baseline(order())
        await turner.close()
    assert failed.value.retryable


@pytest.mark.parametrize("body", [b"", b"OK", b"[]", b"{}", b'{"serving": 41}', b"\xff", b"[" * 50_000])
async def test_a_receiver_that_does_not_say_what_is_served_is_not_believed(body: bytes) -> None:
    async with receiver() as server:
        server.then = lambda _: web.Response(body=body)
        turner = actuator(server)
        with pytest.raises(ActuatorFailed, match='no JSON object with "serving"') as failed:
            await turner.serve_baseline(order())
        await turner.close()
    assert not failed.value.retryable


@pytest.mark.parametrize("status", [403, 409])
async def test_a_wanted_approval_is_its_own_failure(status: int) -> None:
    async with receiver() as server:
        server.then = answer(status)
        turner = actuator(server)
        with pytest.raises(ApprovalRequired, match="approve the change there") as failed:
            await turner.serve_baseline(order())
        await turner.close()
    assert (failed.value.retryable, len(server.got)) == (False, 1)


@pytest.mark.parametrize(
    ("status", "retryable"), [(400, False), (401, False), (404, False), (429, True), (503, True)]
)
async def test_other_refusals_say_whether_asking_again_may_help(status: int, retryable: bool) -> None:
    async with receiver() as server:
        server.then = answer(status)
        turner = actuator(server)
        with pytest.raises(ActuatorFailed, match=str(status)) as failed:
            await turner.serve_baseline(order())
        await turner.close()
    assert failed.value.retryable == retryable
    assert not isinstance(failed.value, ApprovalRequired)


async def test_equal_orders_are_equal_bytes() -> None:
    async with receiver() as server:
        server.then = answer(200, {"serving": "v41"})
        turner = actuator(server)
        for cohort in ({"a": "1", "b": "2"}, {"b": "2", "a": "1"}):
            await turner.serve_baseline(order(cohort=cohort))
        await turner.close()
    assert server.got[0].body == server.got[1].body


@pytest.mark.parametrize(
    ("status", "body", "verify", "fails"),
    [
        (200, {}, False, False),
        (405, {}, False, False),  # takes POST only: it is there, and a probe must not give an order
        (401, {}, False, True),
        (503, {}, False, True),
        (200, {"serving": "v42"}, True, False),  # what it serves now does not matter
        (200, {}, True, True),
        (405, {}, True, True),
    ],
)
async def test_a_probe_asks_once_and_never_orders(status: int, body: Any, verify: bool, fails: bool) -> None:
    async with receiver() as server:
        server.then = answer(status, body)
        turner = actuator(server, verify=verify)
        try:
            await turner.probe(order())
            failed = False
        except ActuatorFailed:
            failed = True
        await turner.close()
    assert failed == fails
    assert [sent.method for sent in server.got] == ["GET"]
    server.got[0].verify()


async def test_an_address_nobody_allowed_is_a_final_failure() -> None:
    async with receiver() as server:
        turner = WebhookActuator(SignedWebhook(server.url, SECRET))
        for attempt in (turner.probe, turner.serve_baseline):
            with pytest.raises(ActuatorFailed, match="private or loopback") as failed:
                await attempt(order())
            assert not failed.value.retryable
        await turner.close()
    assert server.got == []
