"""The house rules that no linter knows, as functions from a text to its offences.

Every check takes a text and the name to report it under, and returns one line per offence:
`place: what is wrong; what to do`. `test_checks.py` shows each of them complaining, `test_house.py` runs them.
"""

from __future__ import annotations

import ast
import re
import tomllib
from typing import Final

MAX_FUNCTION_LINES: Final = 60
MAX_MODULE_LINES: Final = 400

# What would make a replay differ from the live run, by the full name it is reached under.
_BANNED_BUILTINS: Final = {
    "breakpoint": "left over",
    "input": "the core does no I/O",
    "open": "the core does no I/O",
    "print": "the core does no I/O: return the answer",
}
_BANNED_NAMES: Final = {
    "datetime.date.today": "the core reads no clock: take at_ms",
    "datetime.datetime.now": "the core reads no clock: take at_ms",
    "datetime.datetime.today": "the core reads no clock: take at_ms",
    "datetime.datetime.utcnow": "the core reads no clock: take at_ms",
    "numpy.fromfile": "the core does no I/O",
    "numpy.load": "the core does no I/O",
    "numpy.random": "the core draws nothing: take a Generator",
    "numpy.save": "the core does no I/O",
    "os": "the core does no I/O",
    "random": "the core draws nothing: take the draws",
    "secrets": "the core draws nothing: take the draws",
    "time": "the core reads no clock: take at_ms",
    "uuid": "ids are derived from what they name",
}
_HARMLESS: Final = ("numpy.random.Generator",)  # a type: the generator itself came in as an argument

# Marks of work that is not done; put together so that this file does not trip over itself.
_LEFTOVER: Final = re.compile(
    "|".join(
        (
            r"\bTO" + r"DO\b",
            r"\bFIX" + r"ME\b",
            r"\bpytest\.sk" + r"ip\b",
            r"\bmark\.sk" + r"ip",
            r"\bimportorsk" + r"ip\b",
            r"\bxf" + r"ail\b",
            r"\braise NotImple" + r"mentedError\b",
        )
    )
)

_REGISTRIES: Final = (
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("registry", "npmjs", "org"),
    ("repo1", "maven", "org"),
    ("repo", "maven", "apache", "org"),
    ("crates", "io"),
    ("proxy", "golang", "org"),
    ("deb", "debian", "org"),
)
_HOSTS: Final = "|".join(r"\.".join(host) for host in _REGISTRIES)
_REGISTRY_HOST: Final = re.compile(rf"\b(?:{_HOSTS})\b", re.IGNORECASE)
_HOME_FOLDER: Final = re.compile(r"(?<![\w.$}~-])/(?:home/\w+|Users/\w+|root)/|\b[A-Z]:\\Users\\")

_BLIND_EXCEPT: Final = re.compile(r"^\s*except\*?\s*(?:\(?.*\b(?:Base)?Exception\b.*)?:")
_SILENCER: Final = re.compile(r"#\s*(?:noqa(?::\s*[A-Z0-9, ]+)?|type:\s*ignore(?:\[[\w, -]*\])?)")


def oversized(source: str, where: str) -> list[str]:
    """Return the module if it is longer than 400 lines, and every function longer than 60."""
    found = []
    lines = len(source.splitlines())
    if lines > MAX_MODULE_LINES:
        found.append(f"{where}: {lines} lines, at most {MAX_MODULE_LINES}; split it by meaning")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                what = f"{node.name} has {length} lines, at most {MAX_FUNCTION_LINES}"
                found.append(f"{where}:{node.lineno}: {what}; name its steps")
    return found


def impure(source: str, where: str) -> list[str]:
    """Return every use of I/O, a clock, chance or process identity, whatever name it was imported under."""
    tree = ast.parse(source)
    names = _imported_names(tree)
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and id(node) not in inner:
            path = _full_name(node, names)
            if why := _ban(path):
                found.append((node.lineno, f"{path}: {why}"))
    return [f"{where}:{line}: {what}" for line, what in sorted(found)]


def _ban(path: str) -> str | None:
    """Return why a full name is banned; a name bans all that is reached through it."""
    if path in _HARMLESS:
        return None
    parts = path.split(".")
    longer = (_BANNED_NAMES.get(".".join(parts[:length])) for length in range(1, len(parts) + 1))
    return _BANNED_BUILTINS.get(path) or next(filter(None, longer), None)


def _imported_names(tree: ast.Module) -> dict[str, str]:
    """Return what each imported name stands for: `np` is `numpy`, `now` may be `time.time`."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                names[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _full_name(node: ast.expr, names: dict[str, str]) -> str:
    """Return the full name an expression reads: an import's, a builtin's, or an empty text for all others."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id if node.id in _BANNED_BUILTINS else "")
    if isinstance(node, ast.Attribute):
        owner = _full_name(node.value, names)
        return f"{owner}.{node.attr}" if owner else ""
    return ""


def foreign_imports(source: str, where: str, allowed: frozenset[str]) -> list[str]:
    """Return every import whose first name is not allowed."""
    imports: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imports += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imports.append((node.lineno, node.module or ""))
    return [
        f"{where}:{line}: imports {module}; the core knows the standard library, numpy and itself"
        for line, module in imports
        if module.partition(".")[0] not in allowed
    ]


def leftovers(text: str, where: str) -> list[str]:
    """Return every line that says that something is not done, or that a test does not run."""
    return [
        f"{where}:{number}: {mark.group()}; finish it or take it out"
        for number, line in enumerate(text.splitlines(), 1)
        for mark in _LEFTOVER.finditer(line)
    ]


def unexplained(source: str, where: str) -> list[str]:
    """Return every blind `except` and every silenced checker whose reason is not on its line or the next to it.

    Silenced lines that follow each other share the reason of the first.
    """
    lines = ["", *source.splitlines(), ""]
    found = []
    explained_above = False
    for number, line in enumerate(lines):
        what = _silenced(line)
        neighbours = (lines[number - 1], lines[number + 1]) if what else ()
        explained = what is not None and (
            explained_above
            or bool(_comment(line))
            or any(near.lstrip().startswith("#") for near in neighbours)
        )
        if what and not explained:
            found.append(f"{where}:{number}: {what} without its reason beside it")
        explained_above = explained
    return found


def _silenced(line: str) -> str | None:
    """Return what a line silences, None for most."""
    if _BLIND_EXCEPT.match(line):
        return "a blind except"
    mark = _SILENCER.search(line)
    return mark.group().lstrip("# ") if mark else None


def _comment(line: str) -> str:
    """Return what a line's comment says beyond its marks: of `# noqa: BLE001 - a pager may raise anything`, the end."""
    return _SILENCER.sub("#", line).partition("#")[2].strip(" #-:—–")


def of_this_machine(text: str, where: str, checkout: str) -> list[str]:
    """Return every line that names a home folder, this checkout's path, or a package registry's host.

    Args:
        checkout: The checkout's absolute path; one of less than two folders is too common a word to look for.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        mark = _HOME_FOLDER.search(line) or _REGISTRY_HOST.search(line)
        named = mark.group() if mark else checkout if checkout.count("/") > 1 and checkout in line else None
        if named:
            found.append(f"{where}:{number}: names {named!r}; use a relative path or a setting")
    return found


def without_reason(pyproject: str) -> list[str]:
    """Return every dependency that does not say, on its line, what it is for."""
    parsed = tomllib.loads(pyproject)
    project = parsed["project"]
    groups = (
        parsed["build-system"]["requires"],
        project["dependencies"],
        *project["optional-dependencies"].values(),
    )
    wanted = {f'"{requirement}"' for group in groups for requirement in group}
    return [
        f"pyproject.toml:{number}: {requirement} does not say what it is for"
        for number, line in enumerate(pyproject.partition("\n[tool.")[0].splitlines(), 1)
        for requirement in sorted(wanted)
        if requirement in line and not line.partition("#")[2].strip()
    ]
