"""Asterisk's manager interface: trunks, endpoints, orphans, health, the fallback's numbers. It places no calls."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from types import TracebackType

import structlog

from .ami_protocol import AmiAway, Fields, GuardedProtocol, Line

__all__ = [
    "Ami",
    "AmiAddress",
    "AmiAway",
    "AmiFailed",
    "AmiRefused",
    "Channel",
    "Endpoint",
    "Events",
    "Health",
]

log = structlog.get_logger(__name__)

ACTION_SECONDS = 5.0
CONNECT_SECONDS = 5.0
PING_SECONDS = 5.0
PONG_SECONDS = 2.5
FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 5.0
EVENT_CLASSES = "system,user"  # what calls do is seen through ARI
MAX_WAITING_EVENTS = 10_000


class AmiRefused(PermissionError):
    """Asterisk refuses the user or the secret; compare the engine's secret with Asterisk's manager.conf."""


class AmiFailed(Exception):
    """Asterisk answered with an error; the text is its own."""


@dataclass(frozen=True)
class AmiAddress:
    """Where the manager interface is and who we are there."""

    host: str
    port: int
    username: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the manager answers: since when it has been so (UTC), the last ping's seconds, and what is wrong."""

    connected: bool
    since: datetime
    ping_seconds: float | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A trunk or a phone. `contacts` maps an address to its state (`Reachable`, `NonQualified`, `Unreachable` …)."""

    name: str
    state: str
    contacts: dict[str, str]

    @property
    def reachable(self) -> bool:
        """Whether a call to it has a chance: some contact answers, or is not asked whether it does."""
        return any(
            state in ("Reachable", "NonQualified", "Unknown", "Created") for state in self.contacts.values()
        )


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel as the manager lists it. `id` is ARI's; `seconds` how long it has been there."""

    id: str
    name: str
    state: str
    context: str
    application: str
    data: str
    seconds: int


class Events:
    """A queue of events whose names match: `async for event in ami.events("Contact*")`. Close it, or use `with`."""

    def __init__(self, ami: Ami, patterns: tuple[str, ...]) -> None:
        self._ami = ami
        self._patterns = patterns
        self._waiting: deque[Fields] = deque(maxlen=MAX_WAITING_EVENTS)
        self._arrived = asyncio.Event()

    def file(self, event: Fields) -> None:
        if any(fnmatchcase(event.get("event", ""), pattern) for pattern in self._patterns):
            if len(self._waiting) == self._waiting.maxlen:
                log.warning("AMI events are not being read, the oldest is dropped", patterns=self._patterns)
            self._waiting.append(event)
            self._arrived.set()

    def close(self) -> None:
        self._ami.forget(self)

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> Fields:
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.popleft()


class Ami:
    """The manager interface, kept connected: `async with Ami(address) as ami`.

    Raises AmiRefused at once if the secret is wrong. While Asterisk is away every question raises AmiAway and
    `health` says so. After each log-in, also the first, subscribers get an event `Connected` of our own:
    nothing is replayed, so ask again for what matters. Every event is a mapping with names in lower case.
    """

    def __init__(self, address: AmiAddress, *, ping_seconds: float = PING_SECONDS) -> None:
        self._address = address
        self._ping_seconds = ping_seconds
        self._protocol: GuardedProtocol | None = None
        self._lost = asyncio.Event()
        self._subscribers: list[Events] = []
        self._keeper: asyncio.Task[None] | None = None
        self._health = Health(False, datetime.now(UTC), problem="not connected yet")

    @property
    def health(self) -> Health:
        return self._health

    async def __aenter__(self) -> Ami:
        tried: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._keeper = asyncio.create_task(self._stay_connected(tried), name="ami")
        try:
            await tried
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Disconnect, also while waiting to connect again. May be called twice."""
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        self._drop("closed")

    def events(self, *patterns: str) -> Events:
        """The events whose names match one of the patterns, such as `ContactStatus`, `Registry`, `Connected`."""
        subscriber = Events(self, patterns)
        self._subscribers.append(subscriber)
        return subscriber

    def forget(self, subscriber: Events) -> None:
        with suppress(ValueError):
            self._subscribers.remove(subscriber)

    async def action(
        self, name: str, fields: Fields | None = None, timeout: float = ACTION_SECONDS
    ) -> Fields:
        """Carry out one action, once. Raises AmiFailed with Asterisk's words, AmiAway, or ValueError.

        An `Originate` is refused: a lost answer would leave it open whether somebody's phone rings.
        """
        return (await self._ask(name, fields or {}, timeout))[0]

    async def listed(
        self, name: str, fields: Fields | None = None, timeout: float = ACTION_SECONDS
    ) -> list[Fields]:
        """The events of an action that answers with a list, such as `CoreShowChannels`; none is an empty list."""
        try:
            answer = await self._ask(name, fields or {}, timeout)
        except AmiFailed as error:
            if str(error).lower().startswith(("no ", "unable to find")):
                return []
            raise
        return [each for each in answer if "event" in each and not each["event"].endswith("Complete")]

    async def db_put(self, family: str, key: str, value: str) -> None:
        """Write into Asterisk's own database, which outlives us (but a `kill -9` loses its last write)."""
        await self.action("DBPut", {"Family": family, "Key": key, "Val": value})

    async def db_get(self, family: str, key: str) -> str | None:
        try:
            answer = await self._ask("DBGet", {"Family": family, "Key": key}, ACTION_SECONDS)
        except AmiFailed:
            return None
        return next((each["val"] for each in answer if "val" in each), None)

    async def db_del(self, family: str, key: str) -> bool:
        """Whether there was something to delete."""
        try:
            await self.action("DBDel", {"Family": family, "Key": key})
        except AmiFailed:
            return False
        return True

    async def reload(self, module: str) -> None:
        await self.action("Reload", {"Module": module})

    async def endpoints(self) -> list[Endpoint]:
        """Every trunk and every desk phone, with what is known of its addresses."""
        names = [each["objectname"] for each in await self.listed("PJSIPShowEndpoints")]
        return [await self._endpoint(name) for name in names]

    async def _endpoint(self, name: str) -> Endpoint:
        state, contacts = "Unknown", {}
        for each in await self.listed("PJSIPShowEndpoint", {"Endpoint": name}):
            match each:
                case {"event": "EndpointDetail", "devicestate": said}:
                    state = said
                case {"event": "ContactStatusDetail", "uri": uri, "status": status}:
                    contacts[uri] = status
        return Endpoint(name, state, contacts)

    async def trunks(self, names: Collection[str]) -> dict[str, Endpoint | None]:
        """The named trunks; None for one that Asterisk does not know."""
        known = {endpoint.name: endpoint for endpoint in await self.endpoints()}
        return {name: known.get(name) for name in names}

    async def channels(self) -> list[Channel]:
        return [_channel(each) for each in await self.listed("CoreShowChannels")]

    async def orphans(self, known: Collection[str], older_than: float) -> list[Channel]:
        """Channels that nobody knows of and that have been there for `older_than` seconds or more."""
        channels = await self.channels()
        return [each for each in channels if each.id not in known and each.seconds >= older_than]

    async def _ask(self, name: str, fields: Fields, timeout: float) -> list[Fields]:
        if name.lower() == "originate":
            raise ValueError("calls are placed through ARI alone, which cannot place one twice")
        if self._protocol is None:
            raise AmiAway(self._health.problem or "Asterisk's manager is away")
        answer = await self._protocol.ask(name, fields, timeout)
        if answer[0].get("response") in ("Error", "Fail", "Failure"):
            raise AmiFailed(answer[0].get("message", f"{name} failed"))
        return answer

    async def _stay_connected(self, tried: asyncio.Future[None]) -> None:
        pause = FIRST_RETRY_SECONDS
        while True:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await self._log_in()
            except (OSError, AmiRefused, AmiAway, TimeoutError) as error:
                self._drop(str(error) or "Asterisk's manager does not answer")
                if isinstance(error, AmiRefused) and not tried.done():
                    return tried.set_exception(error)
                log.warning("AMI not connected", reason=str(error), retry_seconds=round(pause, 2))
            else:
                pause = FIRST_RETRY_SECONDS
                if not tried.done():
                    tried.set_result(None)
                await self._keep_alive()
            if not tried.done():
                tried.set_result(None)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, LONGEST_RETRY_SECONDS)

    async def _log_in(self) -> None:
        self._lost = asyncio.Event()
        line = Line(self._file, self._lost.set)
        _, protocol = await asyncio.get_running_loop().create_connection(
            lambda: GuardedProtocol(line), self._address.host, self._address.port
        )
        self._protocol = protocol
        try:
            await self.action(
                "Login",
                {"Username": self._address.username, "Secret": self._address.secret, "Events": EVENT_CLASSES},
            )
        except AmiFailed as error:
            raise AmiRefused(
                f"Asterisk at {self._address.host}:{self._address.port} refuses the AMI user"
                f" «{self._address.username}» or its secret; compare it with Asterisk's manager.conf ({error})"
            ) from None
        self._health = Health(True, datetime.now(UTC))
        log.info("AMI connected")
        self._file({"event": "Connected"})

    async def _keep_alive(self) -> None:
        """Ping until the line is lost: a peer that is merely silent is noticed too."""
        clock = asyncio.get_running_loop().time
        try:
            while not self._lost.is_set():
                asked = clock()
                await self._ask("Ping", {}, PONG_SECONDS)
                self._health = Health(True, self._health.since, ping_seconds=clock() - asked)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._ping_seconds):
                        await self._lost.wait()
        except (AmiAway, AmiFailed) as error:
            log.warning("AMI does not answer", reason=str(error))
        self._drop("the connection to Asterisk's manager was lost")
        log.warning("AMI connection lost")

    def _drop(self, problem: str) -> None:
        if self._protocol is not None:
            self._protocol.close()
            self._protocol = None
        since = datetime.now(UTC) if self._health.connected else self._health.since
        self._health = Health(False, since, problem=problem)

    def _file(self, event: Fields) -> None:
        for subscriber in tuple(self._subscribers):
            subscriber.file(event)


def _channel(listed: Fields) -> Channel:
    hours, minutes, seconds = (int(part) for part in listed["duration"].split(":"))
    return Channel(
        id=listed["uniqueid"],
        name=listed["channel"],
        state=listed["channelstatedesc"],
        context=listed["context"],
        application=listed["application"],
        data=listed["applicationdata"],
        seconds=hours * 3600 + minutes * 60 + seconds,
    )
