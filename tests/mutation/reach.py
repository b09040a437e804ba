"""What a test runs: marks in front of the statements that are asked about, and nothing anywhere else."""

from __future__ import annotations

import ast
import functools
import gc
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, Final

from tests.mutation.operators import Mutant, lines_of

_MARK: Final = "__reached__"


def mark_of(mutant: Mutant) -> str:
    """Return the mark that a test leaves where it runs a mutant's statement; for a cold one, any of its module."""
    return f"{mutant.path}:{mutant.lines[0]}-{mutant.lines[1]}" if mutant.inside else mutant.path


def living(paths: Collection[str]) -> tuple[dict[str, list[FunctionType]], list[Any]]:
    """Return the functions of these files that exist, and all caches of calls."""
    gc.unfreeze()  # what is frozen is not shown
    functions: dict[str, list[FunctionType]] = {path: [] for path in paths}
    caches = []
    for thing in gc.get_objects():
        if isinstance(thing, FunctionType) and thing.__code__.co_filename in functions:
            functions[thing.__code__.co_filename].append(thing)
        elif isinstance(thing, functools._lru_cache_wrapper):
            caches.append(thing)
    return functions, caches


def put(functions: Sequence[FunctionType], module: CodeType, within: str = "") -> bool:
    """Give functions the code of the same name and line; False where one of those asked for does not take it.

    A function takes no code with other variables of an outer one, as `__class__` where `super()` is gone.

    Args:
        within: Of this function alone, and of those in it; all of the module's, if empty.
    """
    found = [((code.co_qualname, code.co_firstlineno), code) for code in _codes(module)]
    times = Counter(place for place, _ in found)
    codes = {place: code for place, code in found if times[place] == 1}  # two on one line are not told apart
    taken = True
    for function in functions:
        name = function.__code__.co_qualname
        if within and name != within and not name.startswith(f"{within}.<locals>."):
            continue
        code = codes.get((name, function.__code__.co_firstlineno))
        try:
            function.__code__ = code or function.__code__
        except ValueError:
            taken = False
        taken = taken and (code is not None or name != within)
    return taken


def put_marks(
    functions: Sequence[FunctionType], path: str, wanted: Collection[str], reached: Callable[[str], None]
) -> None:
    """Let functions of a file call `reached` with each wanted mark they pass."""
    tree = _Marking(path, wanted).visit(ast.parse(Path(path).read_text(encoding="utf-8")))
    full = str(Path(path).resolve())
    put(functions, compile(ast.fix_missing_locations(tree), full, "exec", dont_inherit=True))
    for function in functions:
        function.__globals__[_MARK] = reached


class _Marking(ast.NodeTransformer):
    def __init__(self, path: str, wanted: Collection[str]) -> None:
        self._path, self._wanted = path, wanted
        self._depth = 0

    def generic_visit(self, node: ast.AST) -> ast.AST:
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        self._depth += is_function
        for _, value in ast.iter_fields(node):
            if self._depth and isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                value[:] = [one for statement in value for one in self._marked(statement)]
        if is_function and self._depth == 1 and self._path in self._wanted:
            node.body.insert(0, _call(self._path, node.body[0]))  # type: ignore[attr-defined]  # it is a function
        super().generic_visit(node)
        self._depth -= is_function
        return node

    def _marked(self, statement: ast.stmt) -> Iterator[ast.stmt]:
        first, last = lines_of(statement)
        mark = f"{self._path}:{first}-{last}"
        if mark in self._wanted:
            yield _call(mark, statement)
        yield statement


def _call(mark: str, at: ast.stmt) -> ast.stmt:
    call = ast.Call(ast.Name(_MARK, ast.Load()), [ast.Constant(mark)], [])
    return ast.copy_location(ast.Expr(ast.copy_location(call, at)), at)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _codes(one)
