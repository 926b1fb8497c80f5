"""What can go wrong with ARI, as types: by HTTP status, with the REST path and Asterisk's own words."""

from __future__ import annotations


class AriError(Exception):
    """Asterisk did not do what was asked. `status` is None if no answer came at all."""

    def __init__(self, request: str, message: str, status: int | None = None) -> None:
        super().__init__(f"{request}: {message}" if status is None else f"{request}: {status} {message}")
        self.request = request
        self.message = message
        self.status = status


class BadRequest(AriError, ValueError):
    """400: a parameter is missing or wrong."""


class Refused(AriError, PermissionError):
    """401: Asterisk refuses the user or the password; compare the engine's secret with Asterisk's ari.conf."""


class Forbidden(AriError, PermissionError):
    """403: the user is read-only, or the object may not be touched."""


class NotFound(AriError, LookupError):
    """404: the channel, bridge, playback or recording is gone (or never was)."""


class Conflict(AriError):
    """409: the id is taken, or the channel is not in a Stasis application (not yet, or no longer)."""


class WrongState(AriError):
    """412: the channel exists, but not in a state where this can be done."""


class Unprocessable(AriError, ValueError):
    """422: understood, but not possible with these objects."""


class ServerError(AriError):
    """5xx: among them `Allocation failed`, which is how an unknown endpoint answers an originate."""


class Unavailable(AriError, ConnectionError):
    """No answer: Asterisk is away, or too slow. What was asked may or may not have been done."""


class UnexpectedReply(AriError, ValueError):
    """The reply does not fit the API description: the model was generated from another Asterisk."""


class AppReplaced(AriError):
    """Fatal: another client has connected under the same application name and now gets all events.

    Asterisk leaves the first client connected but deaf. Stop the other engine, then start this one again.
    """


class ClientClosed(AriError):
    """The client has been closed: no event will come any more."""


BY_STATUS: dict[int, type[AriError]] = {
    400: BadRequest,
    401: Refused,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: WrongState,
    422: Unprocessable,
}


def for_status(status: int) -> type[AriError]:
    """The error class of an HTTP status >= 400."""
    return BY_STATUS.get(status, ServerError if status >= 500 else AriError)
