"""Scripts of the softphones, what their switchboard does to a message, and how a prompt is recognised."""

from __future__ import annotations

import asyncio
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.demo.hearing import Listener, Samples, heard, heard_at, speech_seconds
from engine.demo.script import FOR_EVER, Answer, HangUp, Hear, Hold, NoMore, Press, Refuse, Ring, Script
from engine.demo.softphones import Call, Phone
from engine.demo.switchboard import Address, Invite, Switchboard, with_via, without_top_via

INVITE = (
    b"INVITE sip:%2B79000000001@127.0.0.1:15110 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 127.0.0.1:15060;rport;branch=z9hG4bKPj1\r\n"
    b'From: "Dozvon 112" <sip:+74950000112@127.0.0.1>;tag=a\r\n'
    b"To: <sip:+79000000001@127.0.0.1>\r\n"
    b"Call-ID: 3f2a@dozvon\r\n"
    b"X-Attempt: t1-7\r\n"
    b"CSeq: 1 INVITE\r\n"
    b"Content-Length: 9\r\n\r\n"
    b"v=0\r\ni=x\r"
)


def test_a_script_is_its_steps() -> None:
    script = Script().rings(0.5).answers().hears(1.0).presses("1", after=0.2).holds(2).hangs_up(after=1)
    assert script.steps == (
        Ring(0.5), Answer(), Hear(1.0, 20.0), Press("1", 0.2, 0.3, False), Hold(2), Hold(1), HangUp(),
    )  # fmt: skip


def test_an_answer_rings_first_for_as_long_as_it_takes() -> None:
    assert Script().answers().steps == (Ring(0.1), Answer())
    assert Script().answers(after=3).steps == (Ring(3), Answer())
    assert Script().rings(1).answers().steps == (Ring(1), Answer())
    assert Script().rings(1).declines_call(after=2).steps == (Ring(1), Ring(2), Refuse(603))
    assert Script().busy().steps == (Refuse(486),)
    assert Script().rings_out().steps[-1] == Ring(FOR_EVER)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Script().presses("1"),
        lambda: Script().busy().answers(),
        lambda: Script().rings_out().answers(),
        lambda: Script().answers().busy(),
        lambda: Script().answers().hangs_up().presses("1"),
        lambda: Script().silent().busy(),
        lambda: Script().answers().presses("1x"),
        lambda: Script().answers().presses(""),
        lambda: Script().rejects(200),
    ],
)
def test_what_nobody_can_do_is_refused_where_it_is_written(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(ValueError, match=r"cannot|a refusal is"):
        wrong()


class TestPhone:
    def test_scripts_follow_each_other_and_the_last_one_repeats(self) -> None:
        anna = Phone("+79000000001", "anna")
        anna.busy().then.declines_call().then.answers().presses("1")
        first, second, third, fourth = (anna.takes(call()) for _ in range(4))
        assert first is not None
        assert second is not None
        assert third is not None
        assert first.steps == (Refuse(486),)
        assert second.steps[-1] == Refuse(603)
        assert third.steps[-1] == Press("1", 0.0, 0.3, False)
        assert fourth is third

    def test_a_new_script_replaces_the_plan(self) -> None:
        anna = Phone("+79000000001", "anna")
        anna.busy().then.no_more()
        anna.takes(call())
        anna.rejects(404)
        taken = anna.takes(call())
        assert taken is not None
        assert taken.steps == (Refuse(404),)

    def test_scripts_can_be_given_as_data(self) -> None:
        anna = Phone("+79000000001", "anna")
        anna.plays(Script().busy(), Script().no_more())
        assert [script.steps for _ in range(2) if (script := anna.takes(call()))] == [
            (Refuse(486),),
            (NoMore(),),
        ]

    async def test_each_ring_is_told_once(self) -> None:
        anna = Phone("+79000000001", "anna")
        one, two = call(), call()
        anna.takes(one)
        anna.takes(two)
        assert [await anna.rang(), await anna.rang()] == [one, two]
        with pytest.raises(TimeoutError):
            await anna.rang(timeout=0)
        assert anna.history == [one, two]

    def test_without_a_script_a_call_is_nothing_expected(self) -> None:
        assert Phone("+79000000001", "anna").takes(call()) is None


class Nobody:
    async def accept_key_of(self, call: Call) -> str:
        raise NotImplementedError

    async def prompt_of(self, text: str) -> Path:
        raise NotImplementedError


def call() -> Call:
    return Call(Nobody(), "call", "+79000000001", "112", Invite.parse(INVITE))


class TestSwitchboard:
    def test_an_invite_says_who_calls_whom(self) -> None:
        invite = Invite.parse(INVITE)
        assert (invite.number, invite.caller, invite.caller_name) == (
            "+79000000001",
            "+74950000112",
            "Dozvon 112",
        )
        assert (invite.call_id, invite.headers["X-Attempt"]) == ("3f2a@dozvon", "t1-7")

    @pytest.mark.parametrize("shown", [b"<sip:112@127.0.0.1>;tag=b", b"sip:112@127.0.0.1;tag=b"])
    def test_a_caller_without_a_name(self, shown: bytes) -> None:
        invite = Invite.parse(INVITE.replace(b'"Dozvon 112" <sip:+74950000112@127.0.0.1>;tag=a', shown))
        assert (invite.caller, invite.caller_name) == ("112", "")

    def test_what_is_no_invite_is_refused(self) -> None:
        with pytest.raises(ValueError, match="INVITE"):
            Invite.parse(INVITE.replace(b"INVITE sip", b"BYE sip"))

    def test_a_via_goes_on_top_and_comes_off_again(self) -> None:
        down = with_via(INVITE, ("127.0.0.1", 15110))
        assert down.count(b"Via:") == 2
        assert down.index(b"127.0.0.1:15110;rport") < down.index(b"127.0.0.1:15060;rport")
        assert without_top_via(down) == INVITE
        assert without_top_via(without_top_via(down)).count(b"Via:") == 0

    def test_its_branch_is_that_of_the_transaction(self) -> None:
        here = ("127.0.0.1", 15110)
        cancel = INVITE.replace(b"INVITE", b"CANCEL")
        other = INVITE.replace(b"z9hG4bKPj1", b"z9hG4bKPj2")
        vias = [with_via(each, here).split(b"\r\n")[1] for each in (INVITE, INVITE, cancel, other)]
        assert vias[0] == vias[1] == vias[2]
        assert vias[3] != vias[0]


class Wire(asyncio.DatagramTransport):
    """What is sent, and to whom."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 15110)})
        self.sent: list[tuple[bytes, int]] = []

    def is_closing(self) -> bool:
        return False

    def sendto(self, data: Any, addr: Any = None) -> None:
        self.sent.append((bytes(data).split(b" ", 1)[0], addr[1]))


class TestRoutes:
    CALLER: Address = ("127.0.0.1", 15060)
    WORKER: Address = ("127.0.0.1", 15200)

    @pytest.fixture
    def invites(self) -> list[Invite]:
        return []

    @pytest.fixture
    def board(self, invites: list[Invite]) -> Switchboard:
        board = Switchboard(invites.append)
        board.connection_made(Wire())
        return board

    @staticmethod
    def sent(board: Switchboard) -> list[tuple[bytes, int]]:
        assert isinstance(board._transport, Wire)
        return board._transport.sent

    def test_an_invite_waits_for_its_worker_and_is_sent_once(
        self, board: Switchboard, invites: list[Invite]
    ) -> None:
        for _ in range(3):
            board.datagram_received(INVITE, self.CALLER)
        assert [invite.call_id for invite in invites] == ["3f2a@dozvon"] * 3
        assert not self.sent(board)
        board.route("3f2a@dozvon", self.WORKER)
        board.datagram_received(b"SIP/2.0 180 Ringing" + INVITE[INVITE.index(b"\r\n") :], self.WORKER)
        assert self.sent(board) == [(b"INVITE", 15200), (b"SIP/2.0", 15060)]

    def test_who_has_given_up_meanwhile_does_so_at_the_worker(self, board: Switchboard) -> None:
        board.datagram_received(INVITE, self.CALLER)
        board.datagram_received(INVITE.replace(b"INVITE", b"CANCEL"), self.CALLER)
        board.route("3f2a@dozvon", self.WORKER)
        assert self.sent(board) == [(b"INVITE", 15200), (b"CANCEL", 15200)]

    def test_of_an_unknown_call_nothing_is_passed_on(self, board: Switchboard, invites: list[Invite]) -> None:
        board.datagram_received(INVITE.replace(b"INVITE sip", b"BYE sip"), self.CALLER)
        board.route("3f2a@dozvon", self.WORKER)
        assert not invites
        assert not self.sent(board)


class TestHearing:
    @pytest.fixture
    def voices(self, tmp_path: Path) -> tuple[Path, Path]:
        """Two prompts of two seconds: noise in bands, in syllables, so that each is like itself alone."""
        return saved(tmp_path / "one.wav", babble(1)), saved(tmp_path / "two.wav", babble(2))

    def test_a_prompt_is_found_where_it_begins(self, tmp_path: Path, voices: tuple[Path, Path]) -> None:
        one, two = voices
        recording = saved(
            tmp_path / "call.wav", np.concatenate((np.zeros(4000), babble(1) * 0.5, np.zeros(4000)))
        )
        assert heard_at(recording, one) == pytest.approx(0.5, abs=0.01)
        assert not heard(recording, two)

    def test_lost_packets_do_not_hide_it(self, tmp_path: Path, voices: tuple[Path, Path]) -> None:
        voice = babble(1)
        recording = saved(tmp_path / "call.wav", np.concatenate((np.zeros(900), voice[:5000], voice[5160:])))
        assert heard(recording, voices[0])

    def test_nor_does_a_slip_in_each_of_the_last_pieces(
        self, tmp_path: Path, voices: tuple[Path, Path]
    ) -> None:
        voice = babble(1)
        slipped = np.concatenate((np.zeros(900), voice[:13000], voice[13080:15000], voice[15080:]))
        assert heard(saved(tmp_path / "call.wav", slipped), voices[0])
        cut = np.concatenate((np.zeros(900), voice[:12500], np.zeros(4000)))
        assert not heard(saved(tmp_path / "cut.wav", cut), voices[0])

    @pytest.mark.parametrize("look", [0.1, 0.25, 0.7])
    def test_it_is_heard_as_soon_as_it_is_over(
        self, tmp_path: Path, voices: tuple[Path, Path], look: float
    ) -> None:
        recording, listener, other = tmp_path / "call.wav", Listener(voices[0]), Listener(voices[1])
        call = np.concatenate((np.zeros(4000), babble(1) * 0.5, np.zeros(8000)))
        heard_after = []
        for end in np.arange(look, len(call) / 8000, look):
            saved(recording, call[: int(end * 8000)])
            assert not other.heard(recording)
            if listener.heard(recording):
                heard_after.append(end)
        assert 2.0 < heard_after[0] <= 2.5 + look
        assert heard_after[-1] <= 2.5 + 0.8 + look, "what is over is looked for no more"

    def test_half_of_it_is_not_it(self, tmp_path: Path, voices: tuple[Path, Path]) -> None:
        recording = saved(tmp_path / "call.wav", np.concatenate((babble(1)[:11000], np.zeros(8000))))
        assert not heard(recording, voices[0])
        assert heard(recording, voices[0], first_seconds=1.25)

    def test_a_recording_may_be_shorter_than_the_prompt(
        self, tmp_path: Path, voices: tuple[Path, Path]
    ) -> None:
        assert not heard(saved(tmp_path / "short.wav", np.zeros(10)), voices[0])

    def test_silence_is_no_prompt(self, tmp_path: Path, voices: tuple[Path, Path]) -> None:
        silence = saved(tmp_path / "silence.wav", np.zeros(8000))
        assert speech_seconds(silence) == 0.0
        assert speech_seconds(voices[0]) > 1.0
        with pytest.raises(ValueError, match="silent"):
            heard(voices[0], silence)

    def test_the_rate_of_a_prompt_does_not_matter(self, tmp_path: Path, voices: tuple[Path, Path]) -> None:
        voice = babble(1)
        fine = np.fft.irfft(np.fft.rfft(voice), len(voice) * 3) * 3
        assert heard(voices[0], saved(tmp_path / "fine.wav", fine, rate=24000))

    def test_a_file_that_is_being_written_can_be_searched(
        self, tmp_path: Path, voices: tuple[Path, Path]
    ) -> None:
        recording = saved(tmp_path / "call.wav", babble(1))
        data = bytearray(recording.read_bytes())
        data[4:8] = data[40:44] = b"\0\0\0\0"
        recording.write_bytes(bytes(data) + b"\x01")
        assert heard(recording, voices[0])


def babble(seed: int) -> Samples:
    noise = np.random.default_rng(seed).normal(size=16000)
    spectrum = np.fft.rfft(noise)
    spectrum[int(len(spectrum) * 0.4) :] = 0
    syllables = np.abs(np.sin(np.arange(16000) / 700)) + 0.05
    return np.asarray(np.fft.irfft(spectrum, 16000) * syllables * 6000, dtype=np.float64)


def saved(path: Path, samples: Samples, rate: int = 8000) -> Path:
    with wave.open(str(path), "wb") as audio:
        audio.setparams((1, 2, rate, 0, "NONE", ""))
        audio.writeframes(np.clip(samples, -32768, 32767).astype("<i2").tobytes())
    return path
