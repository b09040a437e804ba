"""The signed webhook client: what it signs, when it asks again, when it gives up, and where it never goes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import httpx
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import WebhookVerificationError

from monitor.adapters.egress import JudgedTransport, WebhookUnusable, refusal
from monitor.adapters.http import (
    HttpClient,
    Limits,
    SignedWebhook,
    WebhookFailed,
    endpoint,
    retry_after_s,
    signers,
)
from monitor.config.settings import Settings
from tests.adapters.receiver import LOCAL, SECRET, FakeTime, Sent, answer, receiver

OTHER_SECRET = "whsec_" + "QUJD" * 8
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


async def test_the_receivers_library_accepts_the_signature_and_only_of_the_very_body() -> None:
    async with receiver() as server:
        hook = SignedWebhook(server.url, SECRET, limits=LOCAL)
        await hook.post("decision-1", '{"grün":1}')
        await hook.close()
    (sent,) = server.got
    sent.verify()
    assert sent.headers["webhook-id"] == "decision-1"
    with pytest.raises(WebhookVerificationError):
        Sent("POST", {}, sent.headers, sent.body + " ").verify()


async def test_while_a_key_is_rotated_the_holder_of_either_key_accepts() -> None:
    async with receiver() as server:
        hook = SignedWebhook(server.url, f"{OTHER_SECRET} {SECRET}", limits=LOCAL)
        await hook.post("decision-1", "{}")
        await hook.close()
    server.got[0].verify(SECRET)
    server.got[0].verify(OTHER_SECRET)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_what_may_pass_is_asked_again_with_the_same_id(status: int) -> None:
    time = FakeTime()
    async with receiver() as server:
        server.replies = [answer(status), answer(status), answer(204)]
        hook = SignedWebhook(server.url, SECRET, limits=LOCAL, timing=time.timing())
        assert (await hook.post("decision-1", "{}")).status == 204
        await hook.close()
    assert [sent.headers["webhook-id"] for sent in server.got] == ["decision-1"] * 3
    assert time.waits == [0.5, 1.0]


@pytest.mark.parametrize("status", [301, 308, 400, 401, 403, 404, 405, 409, 410, 422])
async def test_what_asking_again_cannot_change_is_asked_once(status: int) -> None:
    time = FakeTime()
    async with receiver() as server:
        server.then = answer(status, location="http://127.0.0.1:1/elsewhere")
        hook = SignedWebhook(server.url, SECRET, limits=LOCAL, timing=time.timing())
        with pytest.raises(WebhookFailed, match=str(status)) as failed:
            await hook.post("decision-1", "{}")
        await hook.close()
    assert (failed.value.retryable, failed.value.status, len(server.got)) == (False, status, 1)


async def test_retry_after_is_honoured_within_the_total_time() -> None:
    time = FakeTime()
    async with receiver() as server:
        server.replies = [answer(429, retry_after="17"), answer(200)]
        hook = SignedWebhook(server.url, SECRET, limits=LOCAL, timing=time.timing())
        await hook.post("decision-1", "{}")
        await hook.close()
    assert time.waits == [17.0]


async def test_a_receiver_that_asks_to_be_left_alone_is_left_alone_by_the_next_call_too() -> None:
    time = FakeTime()
    async with receiver() as server:
        server.replies = [answer(429, retry_after="100"), answer(200)]
        client = HttpClient(limits=LOCAL, timing=time.timing())
        with pytest.raises(WebhookFailed, match="429"):
            await client.call("POST", endpoint(server.url))
        with pytest.raises(WebhookFailed, match="asks to be left alone for 100 s more") as failed:
            await client.call("POST", endpoint(server.url))
        assert (len(server.got), failed.value.retryable, time.waits) == (1, True, [])
        time.seconds += 60
        assert (await client.call("POST", endpoint(server.url))).status == 200
        await client.close()
    assert time.waits == [40.0]


async def test_no_receiver_can_ask_for_silence_for_ever() -> None:
    time = FakeTime()
    async with receiver() as server:
        server.replies = [answer(503, retry_after="999999999")]
        client = HttpClient(limits=LOCAL, timing=time.timing())
        with pytest.raises(WebhookFailed):
            await client.call("POST", endpoint(server.url))
        time.seconds += 300
        assert (await client.call("POST", endpoint(server.url))).status == 200
        await client.close()


async def test_a_failure_keeps_what_the_receiver_said_about_it() -> None:
    async with receiver() as server:
        server.then = answer(400, {"errors": ["no such key"]}, x_reason="why")
        client = HttpClient(limits=LOCAL)
        with pytest.raises(WebhookFailed) as failed:
            await client.call("POST", endpoint(server.url), once=True)
        await client.close()
    assert b"no such key" in failed.value.body
    assert failed.value.headers["x-reason"] == "why"


async def test_a_receiver_that_asks_for_more_time_than_there_is_ends_the_call_at_once() -> None:
    time = FakeTime()
    async with receiver() as server:
        server.then = answer(503, retry_after="3600")
        hook = SignedWebhook(server.url, SECRET, limits=LOCAL, timing=time.timing())
        with pytest.raises(WebhookFailed) as failed:
            await hook.post("decision-1", "{}")
        await hook.close()
    assert (failed.value.retryable, time.waits) == (True, [])


async def test_a_dead_receiver_costs_no_more_than_the_total_time() -> None:
    time = FakeTime()
    async with receiver() as server:
        server.then = answer(500)
        hook = SignedWebhook(server.url, SECRET, limits=LOCAL, timing=time.timing())
        with pytest.raises(WebhookFailed):
            await hook.post("decision-1", "{}")
        await hook.close()
    assert time.seconds < LOCAL.total_s
    assert max(time.waits) == LOCAL.max_wait_s


async def test_nobody_listening_is_retryable_and_says_what_to_check() -> None:
    async with receiver() as server:
        gone = server.url
    hook = SignedWebhook(gone, SECRET, limits=LOCAL, timing=FakeTime().timing())
    with pytest.raises(WebhookFailed, match="check that it runs") as failed:
        await hook.get("decision-1", once=True)
    await hook.close()
    assert (failed.value.retryable, failed.value.status) == (True, None)


async def test_a_receiver_that_never_answers_is_left_after_the_attempts_time() -> None:
    silent = asyncio.Event()

    async def never(_: Sent) -> web.Response:
        await silent.wait()
        return web.Response()

    async with receiver() as server:
        server.then = never
        limits = Limits(allow_private=True, attempt_s=0.05, total_s=0.01)
        hook = SignedWebhook(server.url, SECRET, limits=limits)
        with pytest.raises(WebhookFailed) as failed:
            await hook.post("decision-1", "{}")
        silent.set()
        await hook.close()
    assert failed.value.retryable


async def test_an_endless_answer_is_cut_off() -> None:
    async with receiver() as server:
        server.then = lambda _: web.Response(body=b"x" * (LOCAL.max_answer_bytes + 1))
        hook = SignedWebhook(server.url, SECRET, limits=LOCAL)
        with pytest.raises(WebhookFailed, match="longer than 65536 bytes"):
            await hook.post("decision-1", "{}")
        await hook.close()


async def test_a_redirect_is_not_followed() -> None:
    async with receiver() as server, receiver() as elsewhere:
        server.then = answer(307, location=elsewhere.url)
        hook = SignedWebhook(server.url, SECRET, limits=LOCAL)
        with pytest.raises(WebhookFailed, match="redirects are not followed"):
            await hook.post("decision-1", "{}")
        await hook.close()
    assert elsewhere.got == []


async def test_messages_never_show_path_or_query_of_a_webhook() -> None:
    async with receiver() as server:
        server.then = answer(400)
        hook = SignedWebhook(server.url + "/T0PSECRET?key=T0PSECRET", SECRET, limits=LOCAL)
        with pytest.raises(WebhookFailed) as failed:
            await hook.post("decision-1", "{}")
        await hook.close()
    assert "T0PSECRET" not in str(failed.value) + hook.where


@pytest.mark.parametrize(
    ("address", "allow_private", "encrypted", "goes"),
    [
        ("93.184.215.14", False, True, True),
        ("93.184.215.14", False, False, False),  # plain http to the internet
        ("93.184.215.14", True, False, False),
        ("2606:2800:21f::1", False, True, True),
        ("10.0.0.7", False, True, False),
        ("10.0.0.7", True, True, True),
        ("10.0.0.7", True, False, True),
        ("127.0.0.1", False, True, False),
        ("127.0.0.1", True, False, True),
        ("::1", False, True, False),
        ("100.64.0.1", False, True, False),
        ("169.254.169.254", True, True, False),  # cloud metadata, whatever is allowed
        ("::ffff:169.254.169.254", True, True, False),
        ("64:ff9b::a9fe:a9fe", True, True, False),
        ("2002:a9fe:a9fe::1", True, True, False),
        ("100.100.100.200", True, True, False),
        ("168.63.129.16", True, True, False),
        ("192.0.0.192", True, True, False),
        ("fd00:ec2::254", True, True, False),
        ("fd20:ce::254", True, True, False),
        ("fe80::1%eth0", True, True, False),
        ("0.0.0.0", True, True, False),
        ("::", True, True, False),
        ("224.0.0.1", True, True, False),
    ],
)
def test_addresses_are_judged(address: str, allow_private: bool, encrypted: bool, goes: bool) -> None:
    why = refusal(address, allow_private=allow_private, encrypted=encrypted)
    assert (why is None) == goes, why


@pytest.mark.parametrize(
    ("address", "goes"),
    [
        ("10.2.3.4", True),
        ("10.3.0.1", False),
        ("192.168.7.9", True),
        ("192.168.7.10", False),
        ("127.0.0.1", False),
        ("::ffff:10.2.3.4", True),
        ("fd12::1", True),
        ("fd13::1", False),
        ("169.254.169.254", False),  # listed, and still never
        ("93.184.215.14", False),  # plain http to the internet stays refused
    ],
)
def test_private_addresses_may_be_allowed_by_network(address: str, goes: bool) -> None:
    made = Settings(webhook_allow_private="10.2.0.0/16, 192.168.7.9,fd12::/16,169.254.0.0/16")
    why = refusal(address, allow_private=made.webhook_allow_private, encrypted=False)
    assert (why is None) == goes, why


async def test_one_refused_address_of_a_host_refuses_the_host_and_nothing_is_connected() -> None:
    async def both(_: str, __: int) -> list[str]:
        return ["93.184.215.14", "169.254.169.254"]

    transport = JudgedTransport(allow_private=True, resolver=both)
    hook = SignedWebhook("https://hooks.example/x", SECRET, limits=LOCAL, transport=transport)
    with pytest.raises(WebhookUnusable, match="metadata"):
        await hook.post("decision-1", "{}")
    await hook.close()


async def test_the_connection_goes_to_the_judged_address_with_the_hosts_own_name() -> None:
    async def local(_: str, __: int) -> list[str]:
        return ["127.0.0.1"]

    async with receiver() as server:
        port = httpx.URL(server.url).port
        transport = JudgedTransport(allow_private=True, resolver=local)
        hook = SignedWebhook(f"http://hooks.example:{port}/x", SECRET, limits=LOCAL, transport=transport)
        await hook.post("decision-1", "{}")
        await hook.close()
    assert server.got[0].headers["Host"] == f"hooks.example:{port}"


async def test_loopback_is_refused_until_the_operator_allows_it() -> None:
    async with receiver() as server:
        hook = SignedWebhook(server.url, SECRET)
        with pytest.raises(WebhookUnusable, match="allow private webhook addresses"):
            await hook.post("decision-1", "{}")
        await hook.close()
    assert server.got == []


@pytest.mark.parametrize(
    "url", ["ftp://host/x", "hooks.example/x", "https://", "https://user:pw@host/x", "http://[::1"]
)
def test_a_url_that_can_never_work_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(WebhookUnusable):
        SignedWebhook(url, SECRET)


@pytest.mark.parametrize(
    "secret", ["", "   ", "whsec_", "whsec_QUJD", "not base64 at all!", "whsec_" + "QUJD" * 40]
)
def test_a_weak_or_broken_secret_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(WebhookUnusable) as refused:
        signers(secret)
    assert not secret.strip() or secret not in str(refused.value)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("-1", None),
        ("soon", None),
        ("9" * 400, 999_999_999.0),
        ("²", None),
    ],
)
def test_retry_after_in_both_forms(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, NOW) == seconds


@given(st.text(max_size=60))
@settings(max_examples=150)
def test_no_retry_after_header_can_break_the_client(header: str) -> None:
    seconds = retry_after_s(header, NOW)
    assert seconds is None or seconds >= 0
