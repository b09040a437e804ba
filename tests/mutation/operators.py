"""Mutants: one small change each of a module or of a Lua script, in the order of the text."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

_COMPARED: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_COMPUTED: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.Pow: ast.Mult,
}  # fmt: skip
_NAMED: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}
# What runs once, for people and checkers: types, decorators, assertions of our own; a raised error's words as well.
_LEFT_OUT: Final = {"annotation", "returns", "decorator_list", "exc", "cause"}

_LUA: Final = re.compile(r"--.*|'[^']*'|~=|==|\b(?:and|or)\b|\b\d+\b")
_LUA_WORDS: Final = {"~=": "==", "==": "~=", "and": "or", "or": "and"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change.

    Attributes:
        scope: The outermost function or else class that it is in, by qualified name; empty in the module itself.
        inside: Whether it is in a function's body; else importing runs it.
        lines: The first and last line of the statement it is in.
        index: Which of the file's mutants it is.
    """

    path: str
    scope: str
    before: str
    after: str
    lines: tuple[int, int]
    index: int
    inside: bool
    nth: int = 1

    @property
    def name(self) -> str:
        """Return what it is known by, also where lines have moved."""
        again = "" if self.nth == 1 else f" (#{self.nth})"
        return f"{self.path} {self.scope or 'module'}: {self.before} -> {self.after}{again}"


@dataclass(frozen=True, slots=True)
class _Place:
    scope: str = ""
    inside: bool = False
    lines: tuple[int, int] = (0, 0)


def mutants_of(path: str, source: str) -> list[Mutant]:
    """Return all mutants of a file, a Python module or a Lua script."""
    found = _lua(path, source) if path.endswith(".lua") else _python(path, source)
    seen: Counter[str] = Counter()
    named = []
    for one in found:
        seen[one.name] += 1
        named.append(replace(one, nth=seen[one.name]))
    return named


def mutated(source: str, index: int) -> ast.Module:
    """Return a module's tree with one of its changes made."""
    tree = ast.parse(source)
    for number, (_, _, new, put) in enumerate(_changes(tree)):
        if number == index:
            put(new)
            return ast.fix_missing_locations(tree)
    raise IndexError(f"mutant {index} of a module with fewer")


def mutated_lua(source: str, index: int) -> str:
    """Return a script with one of its changes made."""
    start, end, new = list(_lua_changes(source))[index]
    return source[:start] + new + source[end:]


def lines_of(statement: ast.stmt) -> tuple[int, int]:
    """Return the first and last line of a statement, without those that stand in it."""
    body = getattr(statement, "body", None)
    end = max(statement.lineno, body[0].lineno - 1) if body else statement.end_lineno or statement.lineno
    return statement.lineno, end


def _python(path: str, source: str) -> Iterator[Mutant]:
    for index, (place, old, new, _) in enumerate(_changes(ast.parse(source))):
        yield Mutant(path, place.scope, ast.unparse(old), ast.unparse(new), place.lines, index, place.inside)


def _lua(path: str, source: str) -> Iterator[Mutant]:
    for index, (start, end, new) in enumerate(_lua_changes(source)):
        line = source.count("\n", 0, start) + 1
        text = source.splitlines()[line - 1].strip()
        scope = f"line {line}"
        before = f"{source[start:end].strip()} in {text}"
        yield Mutant(path, scope, before, new or "nothing", (line, line), index, inside=True)


def _lua_changes(source: str) -> Iterator[tuple[int, int, str]]:
    for match in _LUA.finditer(source):
        text = match[0]
        if text in _LUA_WORDS:
            yield *match.span(), _LUA_WORDS[text]
        elif text.startswith("'"):
            yield *match.span(), f"'{text[1:-1]}_'"
        elif text.isdigit():
            yield *match.span(), str(int(text) + 1)
    for match in re.finditer(r"^ *redis\.p?call\(.*\)\n", source, re.MULTILINE):
        yield *match.span(), ""


def _changes(
    tree: ast.AST, place: _Place | None = None
) -> Iterator[tuple[_Place, ast.AST, ast.AST, Callable[[Any], None]]]:
    place = place or _Place()
    for field, child, put in _children(tree):
        if field in _LEFT_OUT or isinstance(child, ast.Assert) or getattr(child, "arg", "") == "strict":
            continue
        at = _at(place, tree, field, child)
        for new in _instead(child, at):
            yield at, child, ast.copy_location(new, child), put
        yield from _changes(child, at)


def _children(node: ast.AST) -> Iterator[tuple[str, ast.AST, Callable[[Any], None]]]:
    for field, value in ast.iter_fields(node):
        if isinstance(value, ast.AST):
            yield field, value, partial(setattr, node, field)
        elif isinstance(value, list):
            for number, one in enumerate(value):
                if isinstance(one, ast.AST):
                    yield field, one, partial(value.__setitem__, number)


def _at(place: _Place, parent: ast.AST, field: str, child: ast.AST) -> _Place:
    """Return where a child is: defaults of arguments belong to what is around a function, its body to itself."""
    if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and field == "body":
        is_function = not isinstance(parent, ast.ClassDef)
        if not place.inside:
            name = f"{place.scope}.{parent.name}" if place.scope else parent.name
            place = _Place(name, is_function, place.lines)
    return replace(place, lines=lines_of(child)) if isinstance(child, ast.stmt) else place


def _instead(node: ast.AST, place: _Place) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(ops=ops):
            for number, operator in enumerate(ops):
                new = deepcopy(node)
                new.ops[number] = _COMPARED[type(operator)]()
                yield new
        case ast.BinOp(op=operator, left=left) if type(operator) in _COMPUTED:
            is_text = isinstance(left, ast.Constant | ast.JoinedStr) and not isinstance(
                getattr(left, "value", ""), int | float
            )
            if not is_text and (place.inside or not isinstance(operator, ast.BitOr)):  # a union of types
                yield ast.BinOp(deepcopy(left), _COMPUTED[type(operator)](), deepcopy(node.right))
        case ast.BoolOp(op=operator, values=values):
            yield ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), deepcopy(values))
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield deepcopy(operand)
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield ast.Constant(value + 1)
            yield ast.Constant(value - 1)
        case ast.Name(id=name) if name in _NAMED:
            yield ast.Name(_NAMED[name], ast.Load())
        case ast.stmt():
            yield from _statements(node)


def _statements(node: ast.stmt) -> Iterator[ast.AST]:
    match node:
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield ast.Break()
        case ast.Return(value=ast.expr() as value) if not (
            isinstance(value, ast.Constant) and value.value is None
        ):
            yield ast.Return(ast.Constant(None))
        case ast.Raise() | ast.AugAssign() | ast.Delete():
            yield ast.Pass()
        case ast.Expr(value=ast.Call() | ast.Await() | ast.Yield() | ast.YieldFrom()):
            yield ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield ast.Pass()
