"""Whose an order is: by its author's key, over what it says and not over how it is written."""

from __future__ import annotations

import json

import pytest

from monitor.wire.commands import command_value, read_command
from monitor.wire.signing import Signatures, signature_of, signed

ADA, BOB = b"a" * 32, b"b" * 32
KNOWN = Signatures({"ada": ADA, "bob": BOB})
STRICT = Signatures(KNOWN.keys, is_required=True)
ORDER = {
    "command": "override",
    "command_id": "c-1",
    "release": "model-v42",
    "author": "ada",
    "reason": "a provider's outage",
    "until": "2026-11-22T12:00:00Z",
}


def order(**changes: object):
    return read_command(json.dumps({**ORDER, **changes}).encode())


def test_its_author_s_key_makes_it_its_author_s() -> None:
    shown = STRICT.check(read_command(command_value(signed(order(), ADA))))
    assert (shown.is_known, shown.fault) == (True, None)


def test_how_it_is_written_means_nothing() -> None:
    """The order of keys, blanks, a moment as text or as a number: signed is what was understood."""
    signature = signature_of(order(), ADA)
    text = json.dumps({"signature": signature, **{key: ORDER[key] for key in reversed(ORDER)}}, indent=3)
    assert STRICT.check(read_command(text.encode())).is_known
    assert STRICT.check(order(until=1_795_348_800_000, signature=signature)).is_known


@pytest.mark.parametrize(
    "change",
    [
        {"release": "model-v43"},
        {"author": "bob"},
        {"reason": "another"},
        {"until": "2026-11-23T12:00:00Z"},
        {"command_id": "c-2"},
        {"limit": -5.0},
        {"objective": "quality.task_success_delta_pct"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whoever_changes_a_word_of_it_signs_nothing(change: dict[str, object]) -> None:
    shown = KNOWN.check(order(**change, signature=signature_of(order(), ADA)))
    assert shown.fault is not None
    assert (shown.is_known, shown.fault[0]) == (False, "wrong_signature")


def test_one_author_s_key_is_nobody_else_s() -> None:
    shown = KNOWN.check(signed(order(), BOB))
    assert shown.fault == ("wrong_signature", "its signature is not by the key of ada")


@pytest.mark.parametrize(
    ("signatures", "is_known", "code"),
    [(Signatures(), None, None), (KNOWN, False, None), (STRICT, False, "unsigned")],
)
def test_an_order_without_a_signature(
    signatures: Signatures, is_known: bool | None, code: str | None
) -> None:
    shown = signatures.check(order())
    assert (shown.is_known, shown.fault and shown.fault[0]) == (is_known, code)


def test_an_author_whom_nobody_knows() -> None:
    shown = KNOWN.check(signed(order(author="eve"), ADA))
    assert shown.fault == ("unknown_author", "nobody here knows a key of eve")


def test_no_key_is_shown() -> None:
    assert "aaaa" not in repr(STRICT)


def test_the_signature_is_the_one_that_the_docs_describe() -> None:
    """Whoever writes a client of his own holds it against this."""
    assert signature_of(order(), ADA) == _by_hand()


def _by_hand() -> str:
    import base64
    import hashlib
    import hmac

    said = {**ORDER, "until": 1_795_348_800_000}
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hmac.new(ADA, b"rollback-budget order v1\n" + text.encode(), hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
