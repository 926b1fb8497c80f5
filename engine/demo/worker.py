"""One softphone process (`child`): a pjsua2 endpoint with at most four calls. A pjsip assertion aborts this process alone.

Commands: `dial {call, to, caller, name}`, `respond {call, code}`, `press {call, keys, info}`, `say {call, wav, loop}`,
`hush {call}`, `hang_up {call, code}`, `register {phone, password, registrar}`, `unregister {phone}`, `quit`.
Events: `ready {port}`, `dialled {call, sip_call_id}`, `incoming {call}` (to a registered phone also `{phone, caller}`),
`registered {phone, code}`, `state {call, state, code, reason}`, `media {call}`,
`key {call, key}`, `speech {call, seconds}`, `ended {call, code, reason, wav}`, `trouble {call, text}`.
An incoming call is named by its SIP Call-ID, an outgoing one by whatever `dial` called it.
"""

from __future__ import annotations

import gc
import os
import select
import sys
import time
from pathlib import Path
from typing import Any

import pjsua2 as pj

from engine.demo import child
from engine.demo.pool import CALLS_PER_WORKER

CLOCK_RATE = 8000
POLL_MS = 20
"""How late a command of the parent, or the beginning of speech, may be noticed; SIP is taken at once. A dozen of us run in a test."""
SPEECH_LEVEL = 8
"""pjmedia's level (percent, logarithmic) above which a moment counts as speech: words are 10 to 35, silence is 0."""
SPEECH_HOLD_SECONDS = 0.12
"""Gaps between syllables that still count as speech."""
SPEECH_REPORT_SECONDS = 0.05
WAV_CLOSE_SECONDS = 1.0


class Line(pj.Call):  # type: ignore[misc]
    """One call: forwards pjsua2's callbacks as events; owns its recorder and player."""

    def __init__(
        self, desk: Desk, name: str, call_id: int = pj.PJSUA_INVALID_ID, account: Account | None = None
    ) -> None:
        super().__init__(account or desk.account, call_id)
        self.desk = desk
        self.name = name
        self.wav: Path | None = None
        self.over = False
        self.code, self.reason = 0, ""
        self.heard = Hearing()
        self._closing_since = 0.0
        self._audio: Any = None
        self._recorder: Any = None
        self._players: list[Any] = []

    def onCallState(self, prm: Any) -> None:
        info = self.getInfo()
        self.desk.tell(
            "state", self.name, state=info.stateText, code=info.lastStatusCode, reason=info.lastReason
        )
        if info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self.over, self.code, self.reason = True, info.lastStatusCode, info.lastReason

    def onCallMediaState(self, prm: Any) -> None:
        try:
            self._audio = self.getAudioMedia(-1)
        except pj.Error:
            return
        if self._recorder is None:
            self.wav = self.desk.recordings / f"{os.getpid()}-{self.desk.next_recording()}.wav"
            self._recorder = pj.AudioMediaRecorder()
            self._recorder.createRecorder(str(self.wav))
            self.desk.tell("media", self.name, wav=str(self.wav))
        self._audio.startTransmit(self._recorder)

    def onDtmfDigit(self, prm: Any) -> None:
        self.desk.tell("key", self.name, key=prm.digit)

    def say(self, wav: str, loop: bool) -> None:
        player = pj.AudioMediaPlayer()
        player.createPlayer(wav, 0 if loop else pj.PJMEDIA_FILE_NO_LOOP)
        if self._audio is not None:
            player.startTransmit(self._audio)
        self._players.append(player)

    def hush(self) -> None:
        for player in self._players:
            if self._audio is not None:
                player.stopTransmit(self._audio)
        self._players.clear()

    def press(self, keys: str, info: bool) -> None:
        prm = pj.CallSendDtmfParam()
        prm.digits = keys
        prm.method = pj.PJSUA_DTMF_METHOD_SIP_INFO if info else pj.PJSUA_DTMF_METHOD_RFC2833
        self.sendDtmf(prm)

    def listen(self, now: float) -> None:
        """Measure the level of what arrives and report the speech heard so far."""
        if self._audio is None or self.over:
            return
        if self.heard.update(self._audio.getTxLevel(), now):
            self.desk.tell("speech", self.name, seconds=round(self.heard.seconds, 3))

    def close(self) -> None:
        """Let go of every pjmedia object: what is alive at `libDestroy` aborts the process."""
        self._players.clear()
        self._recorder = self._audio = None

    def wav_is_whole(self, now: float) -> bool:
        """Close the recording and see whether pjmedia's clock thread, which does it later, has written the header's size."""
        self.close()
        self._closing_since = self._closing_since or now
        if self.wav is None or now - self._closing_since > WAV_CLOSE_SECONDS:
            return True
        with self.wav.open("rb") as file:
            return file.read(8)[4:] not in (b"", b"\0\0\0\0")


class Hearing:
    """Seconds of speech heard, from level samples taken at irregular instants."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._last = self._loud = self._reported_at = self._reported = 0.0

    def update(self, level: int, now: float) -> bool:
        """Take one sample; true when there is news to report."""
        since, self._last = now - self._last if self._last else 0.0, now
        if level >= SPEECH_LEVEL:
            self._loud = now
        if now - self._loud <= SPEECH_HOLD_SECONDS:
            self.seconds += since
        news = self.seconds > self._reported and now - self._reported_at >= SPEECH_REPORT_SECONDS
        if news:
            self._reported, self._reported_at = self.seconds, now
        return news


class Account(pj.Account):  # type: ignore[misc]
    """The endpoint's only account: phones are told apart by the request-URI, which the parent has already read."""

    desk: Desk

    def onIncomingCall(self, prm: Any) -> None:
        line = Line(self.desk, "", prm.callId)
        line.name = line.getInfo().callIdString
        self.desk.lines[line.name] = line
        self.desk.tell("incoming", line.name)


class Registered(Account):
    """A desk phone's account, which registers by name and password and is called at the address that it has told."""

    phone = ""

    def onRegState(self, prm: Any) -> None:
        self.desk.tell("registered", phone=self.phone, code=prm.code)

    def onIncomingCall(self, prm: Any) -> None:
        line = Line(self.desk, "", prm.callId, self)
        info = line.getInfo()
        line.name = info.callIdString
        self.desk.lines[line.name] = line
        self.desk.tell("incoming", line.name, phone=self.phone, caller=info.remoteUri)


class Desk:
    """The endpoint, its calls, and the pipe to the parent."""

    def __init__(self, recordings: Path, rtp_port: int, events: int) -> None:
        self.recordings = recordings
        self.lines: dict[str, Line] = {}
        self._forgotten: list[Line] = []
        self.quitting = False
        self._recorded = 0
        self._events = events
        self._commands = child.Commands()
        self._endpoint, self.port, self._settings = _endpoint(rtp_port)
        self.account = Account()
        self.account.desk = self
        self.account.create(self._settings)
        self._phones: dict[str, Registered] = {}

    def next_recording(self) -> int:
        self._recorded += 1
        return self._recorded

    def tell(self, event: str, call: str = "", **fields: Any) -> None:
        child.tell(self._events, event, call=call, **fields)

    def run(self) -> None:
        self.tell("ready", port=self.port)
        while not self.quitting:
            self._endpoint.libHandleEvents(POLL_MS)
            while self._endpoint.libHandleEvents(0) > 0:
                pass
            self._read_commands()
            self._look_after_lines()
            self._let_go()

    def _look_after_lines(self) -> None:
        now = time.monotonic()
        for line in list(self.lines.values()):
            line.listen(now)
            if line.over and line.wav_is_whole(now):
                self._forget(line)

    def _let_go(self) -> None:
        """pjsip numbers its calls 0 to 3 again and again, and a `Line` that ends its life hangs up whatever call has its number then:
        so it may go only while none has."""
        self._forgotten = [line for line in self._forgotten if line.isActive()]

    def close(self) -> None:
        self._endpoint.hangupAllCalls()
        deadline = time.monotonic() + 1.0
        while any(not line.over for line in self.lines.values()) and time.monotonic() < deadline:
            self._endpoint.libHandleEvents(POLL_MS)
        while self.lines:
            self._forget(next(iter(self.lines.values())))
        self._forgotten.clear()
        self._phones.clear()
        del self.account  # every wrapper must be gone before the library is
        gc.collect()
        self._endpoint.libDestroy()

    def _forget(self, line: Line) -> None:
        self._forgotten.append(self.lines.pop(line.name))
        line.close()
        self.tell(
            "ended", line.name, code=line.code, reason=line.reason, wav=str(line.wav) if line.wav else None
        )

    def _read_commands(self) -> None:
        while select.select([0], [], [], 0)[0]:
            for command in self._commands.read():
                try:
                    self._obey(command)
                except pj.Error as error:
                    self.tell("trouble", command.get("call", ""), text=f"{command['do']}: {error.reason}")
            if self._commands.over:
                self.quitting = True
                return

    def _obey(self, command: dict[str, Any]) -> None:
        verb, name = command["do"], command.get("call", "")
        if verb == "quit":
            self.quitting = True
        elif verb == "register":
            self._register(command["phone"], command["password"], command["registrar"])
        elif verb == "unregister":
            self._phones[command["phone"]].setRegistration(False)
        elif verb == "dial":
            self._dial(name, command["to"], command["caller"], self._phones.get(command.get("phone", "")))
        elif (line := self.lines.get(name)) is None or line.over:
            return  # the other side was quicker
        elif verb == "respond":
            line.answer(_op(command["code"]))
        elif verb == "hang_up":
            line.hangup(_op(command.get("code", 0)))
        elif verb == "press":
            line.press(command["keys"], command["info"])
        elif verb == "say":
            line.say(command["wav"], command["loop"])
        elif verb == "hush":
            line.hush()

    def _register(self, phone: str, password: str, registrar: str) -> None:
        if phone in self._phones:
            self._phones[phone].setRegistration(True)
            return
        settings = self._settings
        settings.idUri = f"sip:{phone}@{registrar}"
        settings.regConfig.registrarUri = f"sip:{registrar}"
        settings.regConfig.dropCallsOnFail = False
        settings.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", phone, 0, password))
        account = self._phones[phone] = Registered()
        account.desk, account.phone = self, phone
        account.create(settings)
        settings.sipConfig.authCreds.clear()

    def _dial(self, name: str, to: str, caller: str, account: Registered | None) -> None:
        line = self.lines[name] = Line(self, name, account=account)
        prm = pj.CallOpParam(True)
        prm.opt.audioCount, prm.opt.videoCount = 1, 0
        if account is None:
            prm.txOption.localUri = caller
        try:
            line.makeCall(to, prm)
        except pj.Error as error:
            line.over, line.code, line.reason = True, 500, error.reason
            return
        self.tell("dialled", name, sip_call_id=line.getInfo().callIdString)


def _op(code: int) -> Any:
    prm = pj.CallOpParam()
    prm.statusCode = code
    return prm


def _endpoint(rtp_port: int) -> tuple[Any, int, Any]:
    """A started endpoint without threads of its own for SIP, without a sound card, speaking A-law and mu-law; its port, and what
    its accounts have in common."""
    endpoint = pj.Endpoint()
    endpoint.libCreate()
    config = pj.EpConfig()
    config.logConfig.level = config.logConfig.consoleLevel = 1
    config.uaConfig.threadCnt, config.uaConfig.mainThreadOnly = 0, True
    config.uaConfig.maxCalls = CALLS_PER_WORKER
    config.medConfig.clockRate = config.medConfig.sndClockRate = CLOCK_RATE
    config.medConfig.noVad, config.medConfig.ecTailLen, config.medConfig.threadCnt = True, 0, 1
    endpoint.libInit(config)
    transport = pj.TransportConfig()
    transport.port, transport.boundAddress = 0, "127.0.0.1"
    transport_id = endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
    endpoint.libStart()
    endpoint.audDevManager().setNullDev()
    for codec in endpoint.codecEnum2():
        priority = {"PCMA": 255, "PCMU": 200}.get(codec.codecId.split("/")[0], 0)
        endpoint.codecSetPriority(codec.codecId, priority)
    port = int(endpoint.transportGetInfo(transport_id).localName.rpartition(":")[2])
    settings = pj.AccountConfig()
    settings.idUri = f"sip:phone@127.0.0.1:{port}"
    settings.sipConfig.transportId = transport_id
    media = settings.mediaConfig.transportConfig
    media.port, media.portRange, media.boundAddress = rtp_port, 2 * CALLS_PER_WORKER + 8, "127.0.0.1"
    settings.callConfig.timerUse = pj.PJSUA_SIP_TIMER_INACTIVE
    return endpoint, port, settings


def main() -> None:
    """`python -m engine.demo.worker RECORDINGS_DIR RTP_PORT PARENT_PID`."""
    recordings, rtp_port, parent = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    if not child.begin(parent):
        return
    events = os.dup(1)
    os.dup2(2, 1)  # pjlib prints a banner on standard output before its log can be silenced
    desk = Desk(recordings, rtp_port, events)
    desk.run()
    desk.close()


if __name__ == "__main__":
    main()
