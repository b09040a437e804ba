"""Strict YAML and JSON: what is read, where it stands, and that nothing is silently read as something else."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.config.budget_file import BudgetInvalid, check_budget, load_budget
from monitor.config.scalar import Ambiguous, plain_scalar
from monitor.config.source import BROKEN, MAX_BYTES, Mark
from monitor.config.yaml_source import read_source
from tests.config.written import Tree, budgets, yaml_forms


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("~", None), ("null", None), ("NULL", None),
        ("true", True), ("False", False), ("TRUE", True),
        ("0", 0), ("+15", 15), ("-2", -2), ("-2.0", -2.0), ("+0.5", 0.5), (".5", 0.5), ("5.", 5.0),
        ("1e3", 1000.0), ("2.5E-1", 0.25),
        ("model-v42", "model-v42"), ("1.2.3", "1.2.3"), ("v1", "v1"), ("24h", "24h"), ("tenant=a", "tenant=a"),
        ("nope", "nope"), ("1-2", "1-2"), ("-", "-"), ("a:b", "a:b"), ("12:34x", "12:34x"),
    ],
)  # fmt: skip
def test_an_unquoted_scalar_means_this(text: str, value: object) -> None:
    read = plain_scalar(text)
    assert read == value
    assert not isinstance(read, Ambiguous)
    assert isinstance(read, bool) is isinstance(value, bool)


@pytest.mark.parametrize(
    "text",
    [
        "no", "No", "NO", "yes", "on", "Off", "y", "N",
        "020", "-012", "08", "0o17", "0x10", "0b11", "1_000", "1:30", "1:30:00", "20:30.5",
        "2026-08-01", "2026-8-1 10:00:00", "2026-08-01T10:00:00Z", ".inf", "-.INF", ".nan",
        "1e999", "9" * 25, "<<", "=",
    ],
)  # fmt: skip
def test_what_readers_disagree_about_is_marked(text: str) -> None:
    """YAML 1.1 reads `no` as false, `020` as 16 and `1:30` as 90: none of them may pass for text or number."""
    value = plain_scalar(text)
    assert isinstance(value, Ambiguous)
    assert value == text
    assert value.reading.startswith("some YAML readers take it for ")


@given(st.text(max_size=30))
def test_a_number_is_only_what_python_reads_alike(text: str) -> None:
    value = plain_scalar(text)
    if isinstance(value, int | float) and not isinstance(value, bool):
        assert float(text) == value
        assert math.isfinite(value)


def test_every_node_knows_its_place() -> None:
    source = read_source("a: 1\nb:\n  - x\n  - {c: 'y'}\n", "f.yaml")
    assert source.data == {"a": 1, "b": ["x", {"c": "y"}]}
    assert source.marks[("a",)] == Mark(1, 4)
    assert source.marks[("b",)] == Mark(2, 1)
    assert source.marks[("b", 0)] == Mark(3, 5)
    assert source.marks[("b", 1, "c")] == Mark(4, 9)
    assert source.keys[("b", 1, "c")] == Mark(4, 6)
    assert source.mark(("b", 1, "missing")) == Mark(4, 5)


def test_json_nodes_know_their_places_too() -> None:
    source = read_source('{\n\t"a": 1,\n\t"b": ["x", {"c": "\\ud83d\\ude00"}]\n}', "f.json")
    assert source.data == {"a": 1, "b": ["x", {"c": "😀"}]}
    assert source.marks[("a",)] == Mark(2, 7)
    assert source.marks[("b",)] == Mark(3, 2)
    assert source.marks[("b", 1, "c")] == Mark(3, 19)
    assert source.problems == []


@pytest.mark.parametrize("name", ["f.yaml", "f.json", "topic rollback.budgets.v1"])
def test_json_is_read_as_json_whatever_the_file_is_called(name: str) -> None:
    assert read_source('{"release":\t"\\u00e9\\/"}', name).data == {"release": "é/"}


def test_a_yaml_mapping_in_braces_is_still_yaml() -> None:
    assert read_source("{release: model-v42, window: 24h}", "f.yaml").data == {
        "release": "model-v42",
        "window": "24h",
    }


def test_the_mark_that_windows_editors_write_is_no_part_of_the_file() -> None:
    assert read_source(b"\xef\xbb\xbfrelease: model-v42\n", "f.yaml").data == {"release": "model-v42"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a: 1\ra: 2", "already in line 1"),
        ("a: &x 1", "anchors and aliases"),
        ("a: *x", "anchors and aliases"),
        ("&x a: 1", "anchors and aliases"),
        ("!k a: 1", "tags"),
        ("a: !<tag:yaml.org,2002:str> 1", "tags"),
        ("--- a\n--- b", "second document"),
        ("a: 1\n...\n---\nb: 2", "second document"),
        ("%TAG ! tag:x,2000:\n---\na: 1", "directives"),
        ("? {a: b}\n: 1", "a key is a name"),
        ("no: 1", "not a safe key"),
        ("1.5: 1", "not a string"),
        ("'': 1", "empty key"),
        ("{a: {b: {'c': {d: " + "[" * 20 + "]" * 20 + "}}}}", "nested deeper"),
        ("? " + "[" * 40 + "]" * 40 + "\n: 1", "nested deeper"),
        ("[" * 30_000, "nested deeper"),
        ('a: "\\UFFFFFFFF"', "check quotes and escapes"),
        ("a: \x00", "not allowed in YAML"),
        (b"a: \xff", "not UTF-8"),
        (b"a: \xed\xa0\x80", "not UTF-8"),
        ("release: \ud800", "not UTF-8"),
        ("a" * (MAX_BYTES + 1), "more than 65,536 bytes"),
        ("a: [" + "1," * 5_000 + "1]", "more than 4,000 values"),
        ("a: 1\n" * 5_000, "more than 4,000 values"),
        ('{"a": 1, "a": [' + "1," * 5_000 + "1]}", "more than 4,000 values"),
        ('{"a": 1, "a": {"b": [1, 2]}, "c": 3}', "already in line 1"),
        ('{"": 1}', "empty key"),
    ],
)
def test_it_is_refused(content: str | bytes, said: str) -> None:
    messages = [problem.message for problem in read_source(content, "f.yaml").problems]
    assert any(said in message for message in messages), messages


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "the file is empty"),
        ("  ", "the file is empty"),
        ("{", "expected a string"),
        ('{"a"', 'expected ":", got the end of the file'),
        ('{"a": 1', 'expected ",", got the end of the file'),
        ('{"a": 1 "b"', 'expected ",", got'),
        ('{"a": [1, 2', 'expected ","'),
        ('{"a": tru}', "expected a value"),
        ('{"a": "\x01"}', "control character"),
        ('{"a": "\\x"}', "escape"),
        ('{"a": 1e999}', "too large a number"),
        ('{"a": ' + "9" * 50 + "}", "a number of 50 characters"),
        ("[" * 30_000, "nested deeper"),
        ('{"a": 01}', 'expected ","'),
        ('{"a": 1} x', "after the end"),
    ],
)
def test_it_is_not_json(content: str, said: str) -> None:
    source = read_source(content, "f.json")
    assert source.data is BROKEN
    assert said in source.problems[0].message


@given(content=st.one_of(st.text(), st.binary()), name=st.sampled_from(("f.yaml", "f.json")))
@example(content="a: 2026-99-99", name="f.yaml")
@example(content='{"release": "\\ud800", "\\udfff": 1}', name="f.json")
@example(content="rollback_budget: {quality: {where: {a: {b: c}}, cohorts: [[a]], 5: 6}}", name="f.yaml")
@settings(max_examples=120, deadline=None)
def test_whatever_the_text_only_budget_invalid_is_raised(content: str | bytes, name: str) -> None:
    with pytest.raises(BudgetInvalid) as caught:
        load_budget(content, name)
    assert all(problem.message and problem.file == name for problem in caught.value.problems)


@given(data=st.data(), tree=budgets())
@settings(max_examples=80, deadline=None)
def test_a_damaged_budget_loads_or_is_refused_and_never_ends_otherwise(
    data: st.DataObject, tree: Tree
) -> None:
    text = data.draw(yaml_forms(tree))
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 8)))
    patch = data.draw(
        st.one_of(st.text(max_size=4), st.sampled_from(("no", "&a ", "*a", "!t ", "\n---\n", "[", "{", "~")))
    )
    report = check_budget(text[:start] + patch + text[end:], "damaged.yaml")
    assert (report.budget is None) is any(problem.severity.value == "error" for problem in report.problems)
