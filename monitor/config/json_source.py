"""JSON with the place of every node: budgets as machines write them load by the same path as YAML."""

from __future__ import annotations

import json
import math
import re
from typing import Final

from monitor.config.problem import shown
from monitor.config.scalar import written
from monitor.config.source import Mark, Path, Source, Unreadable

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORD: Final = {"true": True, "false": False, "null": None}
_DECODER: Final = json.JSONDecoder()
_MAX_NUMBER_CHARS: Final = 40


def looks_like_json(text: str) -> bool:
    """Tell whether a text that could also be a YAML flow mapping is JSON."""
    if not text.lstrip(" \t\n\r").startswith("{"):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def read_json(text: str, source: Source) -> object:
    """Return the tree of a JSON text; places and duplicate keys go into `source`.

    Raises:
        Unreadable: The text is not JSON.
    Source: RFC 8259; a duplicate key, which it leaves open, is an error here.
    """
    return _Reader(text, source).document()


class _Reader:
    """A scanner over one text; the recursion is bounded by `MAX_DEPTH`."""

    def __init__(self, text: str, source: Source) -> None:
        self._text = text
        self._source = source
        self._at = 0

    def document(self) -> object:
        self._space()
        if self._at == len(self._text):
            raise Unreadable(None, "the file is empty")
        value = self._value((), self._mark())
        self._space()
        if self._at != len(self._text):
            raise self._unreadable("text after the end of the budget; one budget per file")
        return value

    def _value(self, path: Path, mark: Mark) -> object:
        self._source.enter(path, mark)
        self._source.marks[path] = mark
        match self._text[self._at : self._at + 1]:
            case "{":
                return self._object(path)
            case "[":
                return self._array(path)
            case '"':
                self._source.marks[path] = self._mark()
                return self._string()
        self._source.marks[path] = self._mark()
        return self._bare()

    def _object(self, path: Path) -> dict[str, object]:
        items: dict[str, object] = {}
        self._at += 1
        first = True
        while not self._closed("}", first=first):
            first = False
            mark = self._mark()
            key = self._string()
            self._space()
            self._expect(":")
            self._space()
            if self._is_new(key, items, path, mark):
                self._source.keys[*path, key] = mark
                items[key] = self._value((*path, key), mark)
            else:
                self._skip_value((*path, key), mark)
        return items

    def _is_new(self, key: str, items: dict[str, object], path: Path, mark: Mark) -> bool:
        if key and key not in items:
            return True
        if key:
            said = f"the key is already in line {self._source.keys[*path, key].line}; a key is written once"
            self._source.error((*path, key), said, mark=mark)
        else:
            self._source.error(path, "an empty key; give it a name", mark=mark)
        return False

    def _skip_value(self, path: Path, mark: Mark) -> None:
        """Read past a value that has no place in the tree."""
        kept, self._source = self._source, Source(self._source.file, nodes=self._source.nodes)
        self._value(path, mark)
        kept.nodes, self._source = self._source.nodes, kept

    def _array(self, path: Path) -> list[object]:
        items: list[object] = []
        self._at += 1
        while not self._closed("]", first=not items):
            items.append(self._value((*path, len(items)), self._mark()))
        return items

    def _closed(self, end: str, *, first: bool) -> bool:
        """Read up to the next item; True where the collection ends instead."""
        self._space()
        if self._text.startswith(end, self._at):
            self._at += 1
            return True
        if not first:
            self._expect(",")
            self._space()
        return False

    def _string(self) -> str:
        if not self._text.startswith('"', self._at):
            raise self._unreadable('expected a string in "quotes"')
        try:
            value, self._at = _DECODER.raw_decode(self._text, self._at)
        except json.JSONDecodeError as problem:
            self._at = problem.pos
            raise self._unreadable(f"{problem.msg[:1].lower()}{problem.msg[1:]}") from problem
        return str(value)

    def _bare(self) -> object:
        if found := _NUMBER.match(self._text, self._at):
            return self._number(found)
        for word, value in _WORD.items():
            if self._text.startswith(word, self._at):
                self._at += len(word)
                return value
        got = self._text[self._at : self._at + 1]
        raise self._unreadable(f"expected a value, got {shown(got) if got else 'the end of the file'}")

    def _number(self, found: re.Match[str]) -> int | float:
        text = found[0]
        if len(text) > _MAX_NUMBER_CHARS:
            raise self._unreadable(f"a number of {len(text)} characters; at most {_MAX_NUMBER_CHARS}")
        if not found[2] and not found[3]:
            self._at = found.end()
            return written(int(text), text)
        if not math.isfinite(value := float(text)):
            raise self._unreadable(f"{text} is too large a number")
        self._at = found.end()
        return written(value, text)

    def _expect(self, char: str) -> None:
        if not self._text.startswith(char, self._at):
            got = self._text[self._at : self._at + 1]
            raise self._unreadable(f'expected "{char}", got {shown(got) if got else "the end of the file"}')
        self._at += 1

    def _space(self) -> None:
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _mark(self) -> Mark:
        before = self._text.rfind("\n", 0, self._at)
        return Mark(self._text.count("\n", 0, self._at) + 1, self._at - before)

    def _unreadable(self, message: str) -> Unreadable:
        return Unreadable(self._mark(), f"not readable as JSON: {message}")
