"""ARI's REST half over aiohttp: bounded connections, an Authorization header, typed answers and typed errors."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar, cast

import aiohttp
import msgspec

from .errors import Refused, Unavailable, UnexpectedReply, for_status

Answer = TypeVar("Answer")

# Without a cap of our own, 150 calls a second exhausted Asterisk's sessions and left orphan channels.
MAX_CONNECTIONS = 40
REQUEST_SECONDS = 10.0


@dataclass(frozen=True)
class AriAddress:
    """Where ARI is and who we are there. `app` is the Stasis application's name."""

    host: str
    port: int
    username: str
    password: str = field(repr=False)
    app: str = "dozvon"

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}/ari"

    @property
    def headers(self) -> dict[str, str]:
        """In a header and never in the URL, where access logs would keep it."""
        credentials = b64encode(f"{self.username}:{self.password}".encode()).decode()
        return {"Authorization": f"Basic {credentials}"}


class AiohttpRest:
    """Carries out one REST call at a time per connection, `MAX_CONNECTIONS` at most; more callers wait in line.

    Nothing is repeated here: whether a lost answer may be asked for again is known only to the caller.
    """

    def __init__(
        self, address: AriAddress, *, connections: int = MAX_CONNECTIONS, timeout: float = REQUEST_SECONDS
    ) -> None:
        self._address = address
        self._connections = connections
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections),
            headers=self._address.headers,
            timeout=aiohttp.ClientTimeout(total=self._timeout),
            # Asterisk sets no cookies, compresses nothing and reads none of these headers: each call is cheaper by a third.
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(
        self,
        method: str,
        path: str,
        answer: type[Answer],
        *,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> Answer:
        """The decoded answer. Raises the AriError of the HTTP status, or `Unavailable` when none came."""
        request = f"{method} {path}"
        if self._session is None:
            raise Unavailable(request, "the client is not open")
        payload = {name: value for name, value in (body or {}).items() if value is not None}
        try:
            async with self._session.request(
                method,
                self._address.url + path,
                params={k: _text(v) for k, v in (query or {}).items() if v is not None},
                data=msgspec.json.encode(payload) if payload else None,
                headers={"Content-Type": "application/json"} if payload else None,
            ) as response:
                status, content = response.status, await response.read()
        except TimeoutError as error:
            raise Unavailable(request, f"no answer within {self._timeout:g} s") from error
        except aiohttp.ClientError as error:
            raise Unavailable(request, str(error) or type(error).__name__) from error
        if status >= 400:
            raise self._error(request, status, content)
        return _decoded(request, content, answer)

    def _error(self, request: str, status: int, content: bytes) -> Exception:
        if status == 401:
            return Refused(request, refusal(self._address), status)
        return for_status(status)(request, _message(content), status)


def refusal(address: AriAddress) -> str:
    """What to tell the operator when the password is refused."""
    return (
        f"Asterisk at {address.host}:{address.port} refuses the ARI user «{address.username}» or its password;"
        " compare the engine's secret with Asterisk's ari.conf"
    )


def _text(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case list() | tuple():
            return ",".join(map(str, value))
        case _:
            return str(value)


def _decoded(request: str, content: bytes, answer: type[Answer]) -> Answer:
    if answer is type(None):
        return answer()
    if answer is bytes:
        return cast(Answer, content)
    try:
        return msgspec.json.decode(content, type=answer)
    except msgspec.DecodeError as error:
        raise UnexpectedReply(request, str(error)) from error


def _message(content: bytes) -> str:
    """Asterisk's own words: `{"message": …}`, sometimes `{"error": …}`, sometimes a page of text."""
    try:
        reply = msgspec.json.decode(content, type=dict[str, object])
    except msgspec.DecodeError:
        return content.decode("utf-8", "replace").strip()[:200] or "no reason given"
    return str(reply.get("message") or reply.get("error") or "no reason given")
