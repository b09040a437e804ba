"""Mutants change what they say, where they say it, and nothing else."""

from __future__ import annotations

import ast

import pytest

from tests.mutation.operators import mutants_of, mutated, mutated_lua


def changed(source: str) -> list[str]:
    return [ast.unparse(mutated(source, one.index)) for one in mutants_of("m.py", source)]


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("a < b", ["a <= b"]),
        ("a is b == c", ["a is not b == c", "a is b != c"]),
        ("a + b", ["a - b"]),
        ("'x' + b", []),
        ("a and b", ["a or b"]),
        ("not a", ["a"]),
        ("-a", ["a"]),
        ("7", ["8", "6"]),
        ("True", ["False"]),
        ("a[min]", ["a[max]"]),
        ("a = 'text'", []),
        ("a.b = c", ["pass"]),
        ("a += b", ["pass"]),
        ("f(a)", ["pass"]),
        ("assert a < b", []),
        ("raise E(1)", ["pass"]),
        ("a: Literal[1] = b", []),
        ("zip(a, strict=True)", ["pass"]),
        ("A = B | C", []),
    ],
)
def test_a_change_is_this(source: str, wanted: list[str]) -> None:
    assert changed(source) == wanted


def test_a_mutant_knows_its_place() -> None:
    source = "N = 1\nclass C:\n    def f(self, a=True):\n        for b in a:\n            break\n        return a\n"
    found = [(one.name, one.inside, one.lines) for one in mutants_of("m.py", source)]
    assert found == [
        ("m.py module: 1 -> 2", False, (1, 1)),
        ("m.py module: 1 -> 0", False, (1, 1)),
        ("m.py C: True -> False", False, (3, 3)),
        ("m.py C.f: break -> continue", True, (5, 5)),
        ("m.py C.f: return a -> return None", True, (6, 6)),
    ]


def test_equal_changes_have_names_of_their_own() -> None:
    names = [one.name for one in mutants_of("m.py", "a < b\na < b\n")]
    assert names == ["m.py module: a < b -> a <= b", "m.py module: a < b -> a <= b (#2)"]


def test_a_script_is_changed_outside_of_its_comments() -> None:
    script = "-- KEYS[1] or 'x'\nif a ~= 'b' then\n  redis.call('SET', k)\nend\n"
    made = [mutated_lua(script, one.index) for one in mutants_of("s.lua", script)]
    assert [text.replace("-- KEYS[1] or 'x'\n", "") for text in made] == [
        "if a == 'b' then\n  redis.call('SET', k)\nend\n",
        "if a ~= 'b_' then\n  redis.call('SET', k)\nend\n",
        "if a ~= 'b' then\n  redis.call('SET_', k)\nend\n",
        "if a ~= 'b' then\nend\n",
    ]
