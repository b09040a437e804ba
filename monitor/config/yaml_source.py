"""Strict YAML 1.2: one document of mappings, lists and scalars, nothing that reads as something else elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml import events as ev
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError

from monitor.config.json_source import looks_like_json, read_json
from monitor.config.problem import shown
from monitor.config.scalar import Ambiguous, plain_scalar
from monitor.config.source import BROKEN, Mark, Path, Source, Unreadable, decoded

_NO_ALIASES: Final = "anchors and aliases (& and *) are not allowed; write the value out"
_NO_TAGS: Final = "tags (!) are not allowed; write the plain value"


def read_source(content: str | bytes, file: str) -> Source:
    """Return the tree of a YAML or JSON text with the places of its nodes.

    Args:
        file: Names the text in problems; one ending in `.json` must be JSON.
    Returns:
        A source whose `data` is `BROKEN` where the text cannot be read at all. Nothing is raised: what is wrong
        with the text is in `problems`.
    """
    source = Source(file)
    try:
        text = decoded(content)
        if file.endswith(".json") or looks_like_json(text):
            source.data = read_json(text, source)
        else:
            source.data = _Builder(_events(text), source).document()
    except Unreadable as problem:
        source.data = BROKEN
        source.error((), problem.message, mark=problem.mark or Mark(0, 0))
    return source


def _events(text: str) -> Iterator[Any]:
    """Yield the parser's events; no event is resolved or constructed by the library."""
    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except MarkedYAMLError as problem:
        raise _unreadable(problem) from problem
    except ReaderError as problem:
        line = text.count("\n", 0, problem.position) + 1
        message = f"character {text[problem.position]!a} is not allowed in YAML; remove it"
        raise Unreadable(Mark(line, 1), message) from problem
    except (
        Exception
    ) as problem:  # the scanner lets OverflowError, UnicodeError and others out on hostile escapes
        what = type(problem).__name__
        raise Unreadable(None, f"not readable as YAML ({what}); check quotes and escapes") from problem


def _unreadable(problem: MarkedYAMLError) -> Unreadable:
    place = problem.problem_mark or problem.context_mark
    mark = Mark(place.line + 1, place.column + 1) if place else None
    said = " ".join(str(problem.problem or problem.context or "unexpected text").split())
    if "\\t" in said:
        said = "a tab character; use spaces"
    return Unreadable(mark, f"not readable as YAML: {said}")


class _Builder:
    """Builds the tree from parser events; the recursion is bounded by `MAX_DEPTH`."""

    def __init__(self, events: Iterator[Any], source: Source) -> None:
        self._events = events
        self._source = source

    def document(self) -> object:
        """Return the one document of the stream."""
        next(self._events)  # the start of the stream
        first = next(self._events)
        if isinstance(first, ev.StreamEndEvent):
            raise Unreadable(None, "the file is empty")
        if first.version or first.tags:
            self._source.error((), "directives (%) are not allowed; remove them", mark=_mark(first))
        data = self._node(next(self._events), ())
        next(self._events)  # the end of the document
        if not isinstance(following := next(self._events), ev.StreamEndEvent):
            message = "a second document begins here; one budget per file"
            self._source.error((), message, mark=_mark(following))
        return data

    def _node(self, event: Any, path: Path) -> object:
        self._source.enter(path, _mark(event))
        self._source.marks.setdefault(path, _mark(event))
        value = self._value(event, path)
        if complaint := _forbidden(event):
            self._source.error(path, complaint, mark=_mark(event))
        return (
            value if complaint in (None, _NO_ALIASES) else BROKEN
        )  # a value behind an anchor is still a value

    def _value(self, event: Any, path: Path) -> object:
        if isinstance(event, ev.ScalarEvent):
            self._source.marks[path] = _mark(event)  # more exact than its key's
            return plain_scalar(event.value) if event.style is None else str(event.value)
        if isinstance(event, ev.SequenceStartEvent):
            return self._sequence(path)
        if isinstance(event, ev.MappingStartEvent):
            return self._mapping(path)
        return BROKEN  # an alias

    def _sequence(self, path: Path) -> list[object]:
        items: list[object] = []
        position = 0
        while not isinstance(event := next(self._events), ev.SequenceEndEvent):
            items.append(self._node(event, (*path, position)))
            position += 1
        return items

    def _mapping(self, path: Path) -> dict[str, object]:
        items: dict[str, object] = {}
        while not isinstance(event := next(self._events), ev.MappingEndEvent):
            key = self._key(event, path)
            if key is None or key in items:
                self._skip_value(key, event, path)
                continue
            place = (*path, key)
            self._source.marks[place] = self._source.keys[place] = _mark(event)
            items[key] = self._node(next(self._events), place)
        return items

    def _key(self, event: Any, path: Path) -> str | None:
        """Return the key, or None where it is not one that everybody reads as this text."""
        complaint = _forbidden(event)
        if not isinstance(event, ev.ScalarEvent):
            self._skip(event, path)
            complaint = complaint or "a key is a name, not a list or a mapping"
        elif complaint is None:
            value = str(event.value) if event.style else plain_scalar(event.value)
            if type(value) is str and value:
                return value
            complaint = _bad_key(value)
        self._source.error(path, complaint or "a key is a name", mark=_mark(event))
        return None

    def _skip_value(self, key: str | None, event: Any, path: Path) -> None:
        if key is not None:
            first = self._source.keys[*path, key].line
            message = f"the key is already in line {first}; a key is written once"
            self._source.error((*path, key), message, mark=_mark(event))
        self._skip(next(self._events), (*path, ""))

    def _skip(self, event: Any, path: Path) -> None:
        """Read past a node that has no place in the tree."""
        self._source.enter(path, _mark(event))
        if isinstance(event, ev.CollectionStartEvent):
            while not isinstance(event := next(self._events), ev.CollectionEndEvent):
                self._skip(event, (*path, ""))


def _forbidden(event: Any) -> str | None:
    """Return why a node is refused for what stands before it: an anchor, an alias or a tag."""
    if event.anchor is not None:
        return _NO_ALIASES
    if not isinstance(event, ev.AliasEvent) and event.tag is not None:
        return _NO_TAGS
    return None


def _bad_key(value: object) -> str:
    if value == "<<":
        return "merge keys (<<) are not allowed; write the keys out"
    if isinstance(value, Ambiguous):
        return f'{value} is not a safe key: {value.reading}; quote it: "{value}"'
    if value is None or value == "":
        return "an empty key; give it a name"
    return f"{shown(value)} is not a string; quote it"


def _mark(event: Any) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)
