"""Structured logs: one line a fact, with what was bound for the call or the ticket; telephone numbers and secrets masked."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_NUMBER = re.compile(r"(?<![\w.-])(\+?\d{4})\d{3,7}(\d{2})(?![\w.-])")
_SECRET_KEYS = re.compile(r"password|secret|token|authorization|cookie", re.IGNORECASE)
_PLAIN_KEYS = frozenset({"ticket", "call", "attempt", "timestamp", "pid", "port", "seconds"})


def mask(number: str) -> str:
    """«+7900…01»: enough to tell two people apart, not enough to call one."""
    return _NUMBER.sub(r"\1…\2", number)


def _mask_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if _SECRET_KEYS.search(key):
            event[key] = "…"
        elif isinstance(value, str) and key not in _PLAIN_KEYS:
            event[key] = mask(value)
    return event


def set_up(form: str = "console", level: str = "info") -> None:
    """Send all logs, ours and the libraries', to stderr; `form` is `console` (to be read) or `json` (to be gathered)."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    last: list[Any]
    if form == "json":
        last = [
            structlog.processors.format_exc_info,
            _mask_event,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    else:
        last = [
            _mask_event,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for chatty in ("aiohttp.access", "apscheduler", "alembic", "asyncio", "num2words"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
