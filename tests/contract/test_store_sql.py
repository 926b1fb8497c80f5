"""What the two real databases promise besides: projections, accounts, several engines on one database, and trouble."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from engine.domain.errors import FeedLost, NotKnown, StoreFailed
from engine.domain.events import (
    Accepted,
    CallAnswered,
    CallEnded,
    CallStarted,
    Classified,
    DialEnded,
    DialStarted,
    Noted,
    RecordingAttached,
    RobocallAnswered,
    TextDelivered,
    TextQueued,
    TextSent,
    TicketOpened,
)
from engine.domain.model import CallKind, Outcome, Premises, Urgency, Via
from engine.store import Access, Store, Unknown, hub, projecting
from engine.store.tables import calls, events, metadata, recordings, texts, tickets
from tests.fakes import postgres

NOON = datetime(2026, 3, 14, 12, 0, 0, 123456, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def opened(company: str = "demo", **fields: object) -> TicketOpened:
    return TicketOpened(**({"at": NOON, "company": company, "channel": "phone"} | fields))  # type: ignore[arg-type]


def note(text: str) -> Noted:
    return Noted(at=NOON, by="test", text=text)


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/dozvon.sqlite"
        return
    async with postgres.database(request.getfixturevalue("postgres_url")) as name:
        yield name


@pytest.fixture
async def shared(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A PostgreSQL database for several engines."""
    async with postgres.database(request.getfixturevalue("postgres_url")) as name:
        yield name


async def tell_a_story(store: Store) -> int:
    """A resident calls, a plumber declines, the director accepts; all of it recorded and texted."""
    home = Premises("lenina-15", "42", "улица Ленина, дом 15, квартира 42")
    started = CallStarted(
        at=at(0), call="in-1", kind=CallKind.RESIDENT, number="+79160000042", did="+74950000112"
    )
    ticket = await store.open_ticket(
        [opened(phone="+79160000042", did="+74950000112", premises=home), started]
    )
    await store.append(
        ticket,
        [
            CallAnswered(at=at(1), call="in-1"),
            Classified(at=at(2), urgency=Urgency.EMERGENCY, cause="water.riser", title="Прорыв стояка"),
            TextQueued(at=at(3), text="t1", number="+79000000004", body="Авария", contact="director"),
            DialStarted(
                at=at(3),
                attempt="1001-1",
                contact="ivan",
                number="+79000000001",
                step="brigade",
                round=1,
                index=0,
            ),
            RobocallAnswered(at=at(5), attempt="1001-1", accept_key="7"),
            DialEnded(at=at(9), attempt="1001-1", outcome=Outcome.DECLINED, cause=16, reason="cannot go"),
            TextSent(at=at(10), text="t1", provider="kannel", parts=2),
        ],
    )
    await store.append(
        ticket,
        [
            Accepted(at=at(20), contact="director", via=Via.SMS, name="Директор"),
            TextDelivered(at=at(21), text="t1"),
            CallEnded(at=at(30), call="in-1", by="caller", seconds=29.0),
            RecordingAttached(at=at(31), recording="in-1", call="in-1", seconds=28.9),
        ],
    )
    return ticket


async def test_the_schema_is_what_the_tables_say(url: str) -> None:
    def differences(connection: sa.Connection) -> object:
        return compare_metadata(MigrationContext.configure(connection), metadata)

    async with Store.open(url) as store:
        assert await store.do(lambda connection: connection.run_sync(differences)) == []


async def test_everything_is_there_when_opened_again(url: str) -> None:
    async with Store.open(url) as store:
        ticket = await tell_a_story(store)
        history = list(await store.history(ticket))
        row = await store.read.ticket(ticket)
    async with Store.open(url) as store:
        assert list(await store.history(ticket)) == history
        assert list(await store.history(ticket, since=8)) == history[8:]
        assert await store.read.ticket(ticket) == row
        assert await store.open_ticket([opened()]) == ticket + 1


async def test_the_console_reads_what_happened(url: str) -> None:
    async with Store.open(url) as store:
        ticket = await tell_a_story(store)
        foreign = await store.open_ticket([opened("other", at=at(60))])
        row = await store.read.ticket(ticket)
        assert row is not None
        assert (row.status, row.urgency, row.cause, row.house, row.flat) == (
            "accepted", "emergency", "water.riser", "lenina-15", "42"
        )  # fmt: skip
        assert (row.accepted_by, row.accepted_name, row.accepted_at) == ("director", "Директор", at(20))
        assert (row.opened_at, row.changed_at, row.length) == (NOON, at(31), 13)
        resident, robocall = await store.read.calls_of(ticket)
        assert (resident.started_at, resident.answered_at, resident.ended_at) == (at(0), at(1), at(30))
        assert (resident.recording, resident.recording_seconds, resident.seconds) == ("in-1", 28.9, 29.0)
        assert (robocall.kind, robocall.outcome, robocall.started) == ("robocall", "declined", False)
        (text,) = await store.read.texts("demo", ticket=ticket)
        assert (text.status, text.provider, text.parts, text.changed_at) == ("delivered", "kannel", 2, at(21))
        (recording,) = await store.read.recordings_of(ticket)
        assert recording == await store.read.recording("in-1")
        assert await store.read.call("in-1") == resident
        assert await store.read.text("t1") == text

        async def numbers(*args: object, **filters: object) -> list[int]:
            return [row.number for row in await store.read.tickets(*args, **filters)]  # type: ignore[arg-type]

        assert await numbers() == [foreign, ticket]
        assert await numbers("demo") == [ticket]
        assert await numbers("other", phone="+79160000042") == []
        assert await numbers(status="accepted", urgency="emergency", house="lenina-15") == [ticket]
        assert await numbers(since=at(1)) == [foreign]
        assert await numbers(before=at(1)) == [ticket]
        assert await numbers(limit=1) == [foreign]
        assert await numbers(limit=1, after=foreign) == [ticket]
        assert len(await store.read.calls("demo", kind="resident")) == 1
        assert await store.read.calls("other") == []


async def test_projections_built_anew_are_the_same(url: str) -> None:
    folded = (tickets, calls, texts, recordings)
    async with Store.open(url) as store:
        await tell_a_story(store)
        await store.open_ticket([opened("other")])

        async def rows() -> list[list[tuple[object, ...]]]:
            return [sorted(map(tuple, await store.read.rows(sa.select(table)))) for table in folded]  # type: ignore[type-var]

        before = await rows()
        assert all(before)
        await store.do(projecting.rebuild)
        assert await rows() == before


async def test_a_failing_statement_fails_its_caller_only(url: str) -> None:
    async with Store.open(url) as store:
        ticket, other = await store.open_ticket([opened()]), await store.open_ticket([opened()])
        for statement in _refuse_poison(url):
            await store.do(lambda connection, statement=statement: connection.execute(sa.text(statement)))
        notes = [note("poison" if n % 10 == 3 else f"good {n}") for n in range(50)]
        results = await asyncio.gather(
            *(store.append(ticket, [note("before"), one, note("after")]) for one in notes),
            return_exceptions=True,
        )
        assert [isinstance(result, StoreFailed) for result in results] == [
            one.text == "poison" for one in notes
        ]
        assert all(result is True for result, one in zip(results, notes, strict=True) if one.text != "poison")
        history = await store.history(ticket)
        assert len(history) == 1 + 45 * 3
        assert await store.append(ticket, [note("and on")], expect=len(history))
        assert await store.append(other, [note("untouched")], expect=1)


def _refuse_poison(url: str) -> list[str]:
    if url.startswith("sqlite"):
        return [
            "CREATE TRIGGER refuse BEFORE INSERT ON events WHEN NEW.data LIKE '%poison%' "
            "BEGIN SELECT RAISE(ABORT, 'refused'); END"
        ]
    return ["ALTER TABLE events ADD CONSTRAINT refuse CHECK (data NOT LIKE '%poison%')"]


async def test_an_event_of_a_newer_engine_is_read_and_kept(url: str) -> None:
    async with Store.open(url) as store:
        ticket = await store.open_ticket([opened()])
        row = {
            "ticket": ticket,
            "seq": 2,
            "at": NOON,
            "type": "Teleported",
            "data": '{"at":"2026-03-14T12:00:00Z"}',
        }
        await store.do(lambda connection: connection.execute(sa.insert(events), row))
    async with Store.open(url) as store:
        assert isinstance((await store.history(ticket))[1], Unknown)
        assert await store.append(ticket, [note("after it")], expect=2)


async def test_a_consumer_that_is_too_slow_is_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "FEED_EVENTS", 20)
    async with Store.open(url) as store:
        ticket = await store.open_ticket([opened()])
        async with store.feed() as slow, store.feed() as quick:
            for n in range(30):
                await store.append(ticket, [note(str(n))])
                _, seq, _ = await asyncio.wait_for(anext(quick), 10)
                assert seq == n + 2
            with pytest.raises(FeedLost):
                async for _ in slow:
                    pass


async def test_accounts(url: str) -> None:
    later = at(3600)
    async with Store.open(url) as store:
        accounts = store.accounts
        assert await accounts.add_user("olga", "operator", "demo", None, NOON)
        assert not await accounts.add_user("olga", "admin", None, "hash", NOON), (
            "an existing user stays as it is"
        )
        assert await accounts.add_user("root", "admin", None, None, NOON)
        assert [user.name for user in await accounts.users()] == ["olga", "root"]
        assert [user.name for user in await accounts.users("demo")] == ["olga"]

        await accounts.add_login_link("link", "olga", NOON, later)
        uses = await asyncio.gather(*(accounts.use_login_link("link", at(1)) for _ in range(10)))
        assert [user.name for user in uses if user] == ["olga"]
        await accounts.add_login_link("late", "olga", NOON, later)
        assert await accounts.use_login_link("late", later) is None

        await accounts.add_session("session", "olga", NOON, later)
        assert (await accounts.session("session", at(1))) == await accounts.user("olga")
        assert await accounts.session("session", later) is None
        assert await accounts.session("other", at(1)) is None
        await accounts.set_password("olga", "argon2")
        assert await accounts.session("session", at(1)) is None, "a new password signs out everywhere"
        with pytest.raises(NotKnown):
            await accounts.set_password("nobody", "argon2")
        await accounts.add_session("session", "olga", NOON, later)
        await accounts.forget_expired(at(1))
        assert await accounts.session("session", at(1)) is not None
        await accounts.forget_expired(later)
        assert await accounts.session("session", at(1)) is None
        await accounts.add_session("session", "olga", NOON, later)
        await accounts.disable_user("olga", at(2))
        assert await accounts.session("session", at(3)) is None

        await accounts.add_token("token", "ci", ["tickets:read", "calls"], "demo", NOON)
        await accounts.token_used("token", at(5))
        token = await accounts.token("token")
        assert token is not None
        assert (token.name, token.scopes, token.company, token.last_used_at) == (
            "ci", ("tickets:read", "calls"), "demo", at(5)
        )  # fmt: skip
        assert await accounts.revoke_token("ci", at(6))
        assert not await accounts.revoke_token("ci", at(7))
        assert await accounts.token("token") is None
        assert [token.revoked_at for token in await accounts.tokens("demo")] == [at(6)]

        heard = Access(at(8), "olga", "recording.play", 1001, "in-1")
        await accounts.record(heard)
        assert await accounts.audit(ticket=1001) == [heard]
        assert await accounts.audit(ticket=1002) == []


async def test_a_backup_is_a_whole_database(tmp_path: Path) -> None:
    async with Store.open(f"sqlite:///{tmp_path}/dozvon.sqlite") as store:
        ticket = await tell_a_story(store)
        history = list(await store.history(ticket))
        await asyncio.gather(
            store.backup(tmp_path / "copy.sqlite"), store.append(ticket, [note("meanwhile")])
        )
        with pytest.raises(FileExistsError):
            await store.backup(tmp_path / "copy.sqlite")
    async with Store.open(f"sqlite:///{tmp_path}/copy.sqlite") as copy:
        assert list(await copy.history(ticket))[: len(history)] == history


async def test_two_engines_share_a_database(shared: str) -> None:
    async with Store.open(shared) as one, Store.open(shared) as two:
        numbers = await asyncio.gather(
            *(store.open_ticket([opened()]) for store in (one, two) for _ in range(20))
        )
        assert sorted(numbers) == list(range(1001, 1041))
        assert await one.open_ticket([opened()], "key") == await two.open_ticket([opened()], "key")
        ticket = numbers[0]
        async with one.feed() as feed, two.feed() as other_feed:
            wins = await asyncio.gather(
                *(_race(store, ticket, who) for who, store in enumerate((one, two) * 20))
            )
            history = list(await one.history(ticket))
            while len(history) <= sum(wins):  # what the other one added last may still be on its way
                await one.changed(ticket, len(history), 10.0)
                history = list(await one.history(ticket))
            assert len(history) == 1 + sum(wins)
            assert list(await two.history(ticket)) == history
            for events_ in (feed, other_feed):
                for place in range(1, len(history)):
                    told = await asyncio.wait_for(anext(events_), 10)
                    assert told == (ticket, place + 1, history[place])


async def test_of_two_engines_one_sends_a_text(shared: str) -> None:
    async with Store.open(shared) as one, Store.open(shared) as two:
        for n in range(50):
            had = await asyncio.gather(
                *(store.claim(f"text {n}", name, 60) for name, store in (("one", one), ("two", two)))
            )
            assert had.count(True) == 1
        assert await one.claim("text 99", "one", 0.1)
        async with asyncio.timeout(10):
            while not await two.claim("text 99", "two", 60):  # the first is dead, by the database's clock
                await asyncio.sleep(0.02)


async def _race(store: Store, ticket: int, who: int) -> int:
    """How many of three appends this appender won."""
    wins = 0
    for _ in range(3):
        length = len(await store.history(ticket))
        wins += await store.append(ticket, [note(f"by {who}")], expect=length)
    return wins


async def test_one_engine_waits_for_what_another_writes(shared: str) -> None:
    async with Store.open(shared) as one, Store.open(shared) as two:
        ticket = await one.open_ticket([opened()])
        for length in range(1, 40):
            waiting = asyncio.create_task(one.changed(ticket, length, 10.0))
            await two.append(ticket, [note("from afar")], expect=length)
            assert await waiting
            assert len(await one.history(ticket)) == length + 1


async def test_a_lost_connection_breaks_the_feed_and_heals(shared: str) -> None:
    async with Store.open(shared) as store:
        ticket = await store.open_ticket([opened()])
        waiting = asyncio.create_task(store.changed(ticket, 2, 20.0))
        async with store.feed() as feed:
            admin = await asyncpg.connect(shared)
            await admin.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                "AND datname = current_database()"
            )
            await admin.close()
            with pytest.raises(FeedLost):
                await asyncio.wait_for(anext(feed), 10)
        written = 1
        while written < 3:
            try:
                assert await store.append(ticket, [note("again")], expect=written)
                written += 1
            except StoreFailed:
                written = len(await store.history(ticket))
        assert await waiting


async def test_a_database_that_is_away_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(StoreFailed, match="reach"):
        async with Store.open(f"postgresql://dozvon@/postgres?host={tmp_path}"):
            pass
    with pytest.raises(ValueError, match="not supported"):
        async with Store.open("mysql://localhost/x"):
            pass
    (tmp_path / "text.sqlite").write_text(
        "this is not a database, but a text that is long enough to be looked at"
    )
    with pytest.raises(StoreFailed, match="not a database"):
        async with Store.open(f"sqlite:///{tmp_path}/text.sqlite"):
            pass


async def test_a_closed_store_takes_nothing_but_has_written_all(tmp_path: Path) -> None:
    async with Store.open(f"sqlite:///{tmp_path}/dozvon.sqlite") as store:
        ticket = await store.open_ticket([opened()])
        last = [asyncio.create_task(store.append(ticket, [note(str(n))])) for n in range(100)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*last) == [True] * 100
    with pytest.raises(StoreFailed, match="closed"):
        await store.append(ticket, [note("too late")])
    with sqlite3.connect(tmp_path / "dozvon.sqlite") as database:
        assert database.execute("SELECT count(*) FROM events").fetchone() == (101,)
    database.close()
