"""What the flows need of the world, as protocols. Adapters fulfil them; fakes pass the same contract suites.

All instants are aware datetimes in UTC, all durations seconds as float, all numbers E.164 strings («+79160000042»).
"""

from engine.ports.alarms import AlarmCalls, Hooks, Notice
from engine.ports.recordings import Aged, Gap, Kept, Muting, Recordings
from engine.ports.stand_in import StandIn, StoodInCall, StoodInLeg
from engine.ports.store import Store
from engine.ports.telephony import Cause, Dial, DialFailed, EndedBy, Leg, Sound, Telephony, Voice
from engine.ports.texts import (
    Delivery,
    Handed,
    Heard,
    HookRead,
    HookRequest,
    Incoming,
    Message,
    Report,
    TextHooks,
    Texts,
)
from engine.ports.world import Clock, Companies

__all__ = [
    "Aged",
    "AlarmCalls",
    "Cause",
    "Clock",
    "Companies",
    "Delivery",
    "Dial",
    "DialFailed",
    "EndedBy",
    "Gap",
    "Handed",
    "Heard",
    "HookRead",
    "HookRequest",
    "Hooks",
    "Incoming",
    "Kept",
    "Leg",
    "Message",
    "Muting",
    "Notice",
    "Recordings",
    "Report",
    "Sound",
    "StandIn",
    "StoodInCall",
    "StoodInLeg",
    "Store",
    "Telephony",
    "TextHooks",
    "Texts",
    "Voice",
]
