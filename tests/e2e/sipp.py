"""Callers by the hundred: SIPp phones the hotline. What they hear is sent back to us, so each has sound both ways without a file."""

from __future__ import annotations

import asyncio
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import pytest

ANSWERED_WITHIN_MS = 8_000

PARTY = """\
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:{caller}@[local_ip]:[local_port]>;tag=[pid]b[call_number]
Call-ID: [call_id]
Contact: <sip:resident@[local_ip]:[local_port]>
Max-Forwards: 70"""

SCENARIO = """\
<?xml version="1.0" encoding="UTF-8" ?>
<scenario name="burst">
  <send retrans="500"><![CDATA[
INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
{party}
To: <sip:[service]@[remote_ip]:[remote_port]>
CSeq: 1 INVITE
Content-Type: application/sdp
Content-Length: [len]

v=0
o=resident 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 8 101
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
]]></send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="183" optional="true"/>
  <recv response="200" timeout="{patience}"/>
  <send><![CDATA[
ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0
{party}
To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
CSeq: 1 ACK
Content-Length: 0

]]></send>
{keys}  <pause/>
  <send retrans="500"><![CDATA[
BYE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
{party}
To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
CSeq: 9 BYE
Content-Length: 0

]]></send>
  <recv response="200" timeout="{patience}"/>
</scenario>
"""

KEY = """\
  <pause milliseconds="1500"/>
  <send retrans="500"><![CDATA[
INFO sip:[service]@[remote_ip]:[remote_port] SIP/2.0
{party}
To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
CSeq: 2 INFO
Content-Type: application/dtmf-relay
Content-Length: [len]

Signal={key}
Duration=160
]]></send>
  <recv response="200" timeout="{patience}"/>
"""


async def burst(
    folder: Path,
    sip_port: int,
    did: str,
    *,
    caller: str,
    calls: int,
    rate: float,
    seconds: float,
    local_port: int,
    key: str | None = None,
) -> int:
    """Phone `did` so many times, `rate` a second; each presses `key` and hangs up after `seconds`. How many went well.

    `caller` is the number; «[call_number]» in it makes each caller another one. Uses `local_port` for SIP, and the four after it.
    """
    program = shutil.which("sipp")
    if program is None:
        pytest.skip("no SIPp: apt-get install sip-tester")
    party, patience = PARTY.format(caller=caller), ANSWERED_WITHIN_MS
    keys = KEY.format(party=party, key=key, patience=patience) if key else ""
    scenario = folder / f"burst-{local_port}.xml"
    scenario.write_text(SCENARIO.format(party=party, keys=keys, patience=patience))
    process = await asyncio.create_subprocess_exec(
        program, f"127.0.0.1:{sip_port}", "-sf", str(scenario), "-s", did,
        "-i", "127.0.0.1", "-p", str(local_port), "-mi", "127.0.0.1", "-mp", str(local_port + 1), "-rtp_echo",
        "-r", f"{rate:g}", "-m", str(calls), "-l", str(calls), "-d", f"{seconds * 1000:.0f}",
        "-timeout", f"{calls / rate + seconds + 20:.0f}", "-nostdin",
        "-trace_err", "-error_file", str(folder / f"burst-{local_port}.err"),
        cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        said, _ = await process.communicate()
    except BaseException:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()
        raise
    for line in reversed(said.decode(errors="replace").splitlines()):
        if "Successful call" in line:
            return int(line.split("|")[2])
    raise AssertionError(f"SIPp ended with {process.returncode}: {said.decode(errors='replace')[-400:]}")
