"""Errors as RFC 9457 problem details. Raise `Problem` anywhere in the API; the middleware renders it."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

import msgspec
from aiohttp import web


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing that does not fit: where (a field's path) and why."""

    field: str
    reason: str


class Problem(Exception):
    """An answer that is not the one that was asked for."""

    def __init__(
        self, status: HTTPStatus, detail: str, errors: tuple[Wrong, ...] = (), **extra: object
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors, self.extra = status, detail, errors, extra

    def response(self) -> web.Response:
        """The problem as `application/problem+json`."""
        body: dict[str, object] = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
            **self.extra,
        }
        if self.errors:
            body["errors"] = self.errors
        headers = {"WWW-Authenticate": 'Bearer realm="dozvon"'} if self.status == 401 else None
        return web.Response(
            body=msgspec.json.encode(body),
            status=self.status.value,
            headers=headers,
            content_type="application/problem+json",
        )


def unauthorised() -> Problem:
    """Nobody is signed in."""
    return Problem(HTTPStatus.UNAUTHORIZED, "Нужен токен: заголовок Authorization: Bearer …")


def forbidden(scope: str) -> Problem:
    """Somebody is, but may not."""
    return Problem(HTTPStatus.FORBIDDEN, f"Для этого нужно право «{scope}»")


def not_found(what: str) -> Problem:
    """It does not exist, or belongs to another company: nobody learns which."""
    return Problem(HTTPStatus.NOT_FOUND, what)


def unfit(field: str, reason: str) -> Problem:
    """The body or the query does not fit: 422 with the field and the reason."""
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{field}: {reason}", (Wrong(field, reason),))
