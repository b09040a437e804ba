"""One log: structlog and the standard library through the same processors, JSON unless a person is watching.

Secrets are taken out by the name of their key, at any depth, and out of URLs with a user part. The contract keeps
content of requests out of events; nothing here adds it.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, TextIO

import structlog

from monitor.engine.page_commands import harmless

MASK: Final = "***"
_SECRET_KEY = re.compile(
    r"secret|token(?!s_|s$)|passw|passphrase|authoriz|api[-_]?key|credential|cookie|private[-_]?key|"
    r"signing[-_]?key|webhook[-_]signature|sasl",
    re.IGNORECASE,
)
_URL_USER = re.compile(r"(?<=://)[^/@\s]+@")
_SECRET_VALUE = re.compile(r"whsec_[A-Za-z0-9+/=]+")
_MAX_DEPTH = 6
_NOISY = ("aiokafka", "faust", "kafka", "httpx", "httpcore", "mode", "opentelemetry")


def redacted(value: object, depth: int = 0) -> object:
    """Return a log value without secrets; deeper than six levels it is shown as its type only."""
    if isinstance(value, str):
        return _SECRET_VALUE.sub(MASK, _URL_USER.sub(f"{MASK}@", value))
    if depth >= _MAX_DEPTH and isinstance(value, Mapping | list | tuple | set | frozenset):
        return f"<{type(value).__name__}>"
    if isinstance(value, Mapping):
        return {
            key: MASK if isinstance(key, str) and _SECRET_KEY.search(key) else redacted(held, depth + 1)
            for key, held in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(held, depth + 1) for held in value]
    return value


def _redact(_: object, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    hidden = redacted(event)
    assert isinstance(hidden, dict)
    return hidden


def _harmless(_: object, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Take out what a terminal would obey; what is nested is shown as Python writes it, which is harmless."""
    return {name: harmless(text) if isinstance(text, str) else text for name, text in event.items()}


def configure_logs(level: str = "info", *, stream: TextIO | None = None, as_json: bool | None = None) -> None:
    """Send all logging of this process to one stream.

    Args:
        level: `debug`, `info`, `warning` or `error`, for our own loggers; libraries speak from `warning` on.
        stream: Default standard error: standard output belongs to machine output.
        as_json: Default: JSON unless the stream is a terminal.

    Raises:
        ValueError: An unknown level.
    """
    out = stream if stream is not None else sys.stderr
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"log level: got {level!r}; allowed are debug, info, warning, error")
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # a later call may change the stream
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(_formatter(shared, as_json=not out.isatty() if as_json is None else as_json))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


def _formatter(shared: list[structlog.typing.Processor], *, as_json: bool) -> logging.Formatter:
    """Return the formatter of both kinds of records; redaction is the last step before the text."""
    render: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(sort_keys=True)
        if as_json  # the pretty tracebacks print local variables, secrets among them
        else structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _redact,
            *(() if as_json else (_harmless,)),
            render,
        ],
    )
