"""What the hotline asks next: the dialogue by itself, played through with answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from engine.domain import dialogue_moves as m
from engine.domain.company import Company
from engine.domain.dialogue import talk
from engine.domain.incidents import Incident, Notice
from engine.domain.meters import Meter, MeterKind
from engine.domain.model import House, Premises, Urgency
from engine.domain.ticket import Status
from engine.domain.wording_hotline import words
from engine.files.catalogue import shipped_catalogue

NOW = datetime(2026, 11, 21, 11, 5, tzinfo=UTC)
HOUSES = {
    "lenina15": House("lenina15", "Москва", "улица Ленина", "15", flats=(1, 80), entrances=4),
    "mira23": House("mira23", "Екатеринбург", "проспект Мира", "23", "Asia/Yekaterinburg", (1, 120)),
}
COMPANY = Company(
    id="demo",
    title="Демо",
    houses=HOUSES,
    catalogue=shipped_catalogue(),
    services={"gas": ("104", "112"), "fire": ("112",)},
)
HOME = Premises("lenina15", "42", "улица Ленина, дом 15")
KNOWN = m.Setting(words("ru"), COMPANY, 1024, NOW, NOW, HOME)
UNKNOWN = replace(KNOWN, premises=Premises())
RISER = Incident(1001, "lenina15", None, "Нет отопления в доме", NOW, "Сергей Петров", None, 3)


def play(setting: m.Setting, *answers: m.Heard) -> list[m.Move]:
    """The moves of a talk in which the questions get these answers, and silence when they run out."""
    ahead, dialogue, heard, moves = list(answers), talk(setting), None, []
    while True:
        try:
            move = dialogue.send(heard)
        except StopIteration:
            return moves
        moves.append(move)
        asks = m.Ask | m.AskDigits | m.HandOver | m.CallOperator | m.LookUp | m.LookAtMeters
        heard = (ahead.pop(0) if ahead else None) if isinstance(move, asks) else None


def asked(moves: list[m.Move]) -> list[str]:
    return [move.question for move in moves if isinstance(move, m.Ask | m.AskDigits)]


def classes(moves: list[m.Move]) -> list[m.Classify]:
    return [move for move in moves if isinstance(move, m.Classify)]


def kinds(moves: list[m.Move]) -> list[type]:
    return [type(move) for move in moves]


def spoken(moves: list[m.Move]) -> str:
    return " ".join(part for move in moves for part in getattr(move, "parts", ()))


def test_an_emergency_is_called_for_before_anything_else_is_asked() -> None:
    moves = play(KNOWN, "1")
    assert kinds(moves[:4]) == [m.Announce, m.Ask, m.Classify, m.TellNumber]
    assert classes(moves) == [m.Classify(Urgency.EMERGENCY)]
    assert "Номер вашей заявки: один ноль два четыре." in spoken(moves)


def test_who_does_not_press_in_the_menu_is_asked_nothing_more_and_may_speak() -> None:
    moves = play(KNOWN, "1", None)
    assert asked(moves) == ["emergency", "cause.emergency"]
    assert kinds(moves)[-2:] == [m.TakeMessage, m.Say]


def test_a_burst_riser_by_keys() -> None:
    moves = play(KNOWN, "1", "1", "1", "1")
    assert asked(moves) == ["emergency", "cause.emergency", "cause.e.water", "address", "again"]
    assert classes(moves)[-1] == m.Classify(Urgency.EMERGENCY, "water.riser", "Прорыв стояка холодной воды")
    assert "перекройте вводной кран" in spoken(moves)
    assert "улица Ленина, дом 15, квартира 42" in spoken(moves)


def test_gas_is_told_to_leave_and_handed_over_before_the_address_is_asked() -> None:
    moves = play(KNOWN, "1", "4", "talked")
    told = kinds(moves).index(m.HandOver)
    (handed,) = [move for move in moves if isinstance(move, m.HandOver)]
    assert handed.service == "gas"
    assert "откройте окна" in " ".join(handed.parts).lower()
    assert "Запах газа. улица Ленина, дом 15, квартира 42." in " ".join(handed.brief)
    assert asked(moves[:told]) == ["emergency", "cause.emergency"]
    assert asked(moves[told:])[0] == "address"


def test_a_service_that_does_not_answer_is_named_aloud() -> None:
    assert "Позвоните сами: сто двенадцать" in spoken(play(KNOWN, "1", "4", None))


def test_a_person_in_the_lift() -> None:
    moves = play(KNOWN, "1", "3")
    assert classes(moves)[-1].cause == "lift.person"
    assert COMPANY.catalogue.causes["lift.person"].clock == "lift_person"


def test_something_else_stays_an_emergency_without_a_cause() -> None:
    moves = play(KNOWN, "1", "9", "1")
    assert classes(moves)[-1] == m.Classify(Urgency.EMERGENCY)
    assert asked(moves) == ["emergency", "cause.emergency", "address", "again"]


def test_an_unknown_caller_chooses_house_and_flat() -> None:
    moves = play(UNKNOWN, "1", "9", "2", "7", "1")
    assert asked(moves) == ["emergency", "cause.emergency", "house", "flat", "address", "again"]
    assert classes(moves)[-1].premises == Premises("mira23", "7", "проспект Мира, дом 23")


def test_a_wrong_address_is_asked_for_again_and_then_left_to_be_said() -> None:
    moves = play(UNKNOWN, "1", "9", "2", "7", "2", "1", "8", "2")
    assert asked(moves).count("address") == 2
    assert all(one.premises is None for one in classes(moves))
    assert "Назовите адрес" in spoken(moves)


def test_a_flat_that_does_not_exist() -> None:
    moves = play(UNKNOWN, "1", "9", "1", "81", "42", "1")
    assert "Такой квартиры в этом доме нет." in spoken(moves)
    assert classes(moves)[-1].premises == replace(HOME)


def test_many_houses_are_found_by_their_number() -> None:
    many = {f"h{n}": House(f"h{n}", "Москва", f"улица {n % 7}", str(n % 40)) for n in range(1, 200)}
    setting = replace(UNKNOWN, company=replace(COMPANY, houses=many))
    moves = play(setting, "1", "9", "7", "2", "5", "1")
    assert asked(moves) == [
        "emergency",
        "cause.emergency",
        "house.number",
        "house",
        "flat",
        "address",
        "again",
    ]
    premises = classes(moves)[-1].premises
    assert premises is not None
    assert premises.house in {"h7", "h47", "h87", "h127", "h167"}


def test_silence_is_what_the_company_decided() -> None:
    assert classes(play(KNOWN)) == [m.Classify(Urgency.NORMAL)]
    cautious = replace(KNOWN, company=replace(COMPANY, unclear_is=Urgency.EMERGENCY))
    assert classes(play(cautious)) == [m.Classify(Urgency.EMERGENCY)]
    assert m.TakeMessage in kinds(play(KNOWN))


def test_an_ordinary_request_gets_its_class_from_the_catalogue() -> None:
    moves = play(KNOWN, "2", "1", "1", "1", "1")
    assert [one.urgency for one in classes(moves)] == [Urgency.NORMAL, Urgency.URGENT]
    assert classes(moves)[-1].cause == "water.none_hot"
    assert "Плановый срок: до 14:05 22.11." in spoken(moves)


def test_a_known_incident_is_told_first_and_joined_by_one() -> None:
    moves = play(replace(KNOWN, incidents=(RISER,)), "1")
    assert kinds(moves) == [m.Announce, m.Ask, m.Join, m.TellNumber, m.TakeMessage, m.Say]
    said = spoken(moves)
    assert "Нет отопления в доме" in said
    assert "14:05" in said
    assert "Сергей Петров" in said
    assert "один ноль ноль один" in said


def test_something_else_than_the_incident() -> None:
    moves = play(replace(KNOWN, incidents=(RISER,)), "2", "1")
    assert asked(moves)[:2] == ["incident", "emergency"]
    assert classes(moves) == [m.Classify(Urgency.EMERGENCY)]


def test_an_early_key_is_never_taken_for_the_incident() -> None:
    incident = next(move for move in play(replace(KNOWN, incidents=(RISER,))) if isinstance(move, m.Ask))
    assert incident.question == "incident"
    assert not incident.early


def test_an_incident_of_another_house_or_entrance_is_not_told() -> None:
    elsewhere = replace(RISER, house="mira23")
    assert "incident" not in asked(play(replace(KNOWN, incidents=(elsewhere,))))
    other_entrance = replace(RISER, entrance=1)  # flat 42 is in the third
    assert "incident" not in asked(play(replace(KNOWN, incidents=(other_entrance,))))
    assert "incident" in asked(play(replace(KNOWN, incidents=(replace(RISER, entrance=3),))))


def test_who_names_the_house_by_keys_is_told_of_its_incident() -> None:
    moves = play(replace(UNKNOWN, incidents=(RISER,)), "1", "9", "1", "42", "1", "1")
    assert asked(moves)[-1] == "incident"
    assert m.Join in kinds(moves)


def test_news_is_told_to_whom_it_concerns_and_a_key_cuts_it_short() -> None:
    notice = Notice("Завтра с 10:00 до 14:00 отключат воду.", ("lenina15",))
    first = next(move for move in play(replace(KNOWN, notices=(notice,))) if isinstance(move, m.Ask))
    assert first.question == "emergency"
    assert first.parts[0] == notice.text
    elsewhere = replace(notice, houses=("mira23",))
    assert elsewhere.text not in spoken(play(replace(KNOWN, notices=(elsewhere,))))
    over = replace(notice, ends=NOW)
    assert over.text not in spoken(play(replace(KNOWN, notices=(over,))))


def test_status_of_a_known_caller() -> None:
    found = m.Found((m.Brief(1001, "Прорыв стояка", Status.ACCEPTED),))
    moves = play(KNOWN, "2", "3", found)
    assert "Заявка один ноль ноль один: Прорыв стояка. Бригада приняла её" in spoken(moves)
    assert m.Settle("status") in moves


def test_three_wrong_ticket_numbers_lead_to_the_operator_or_a_message() -> None:
    wrong = ("9999", "1", m.Found()) * 3
    moves = play(replace(UNKNOWN, operators=True), "2", "3", *wrong, "talked")
    assert spoken(moves).count("Такой заявки нет.") == 3
    assert m.CallOperator in kinds(moves)
    moves = play(UNKNOWN, "2", "3", *wrong)
    assert m.TakeMessage in kinds(moves)
    assert m.Settle not in kinds(moves)


METERS = m.Meters(
    (
        Meter("c", "lenina15", "42", MeterKind.COLD, 5, last=124, last_at=NOW),
        Meter("h", "lenina15", "42", MeterKind.HOT, 5, last=87, last_at=NOW),
    )
)


def test_meter_readings_are_read_back_and_taken() -> None:
    moves = play(KNOWN, "2", "2", "1", METERS, "130", "1", "90", "1")
    taken = [move for move in moves if isinstance(move, m.TakeReading)]
    assert [(one.meter.id, one.value, one.unusual) for one in taken] == [("c", 130, False), ("h", 90, False)]
    assert "Вы набрали: один три ноль." in spoken(moves)
    assert m.Settle("reading") in moves


def test_a_reading_that_cannot_be_is_asked_for_again_and_an_unusual_one_confirmed() -> None:
    moves = play(KNOWN, "2", "2", "1", METERS, "100", "900", "1", "")
    taken = [move for move in moves if isinstance(move, m.TakeReading)]
    assert [(one.value, one.unusual) for one in taken] == [(900, True)]
    assert "Это меньше прошлого показания." in spoken(moves)
    assert "Это намного больше обычного." in spoken(moves)


def test_a_flood_leaves_the_choice_of_an_emergency() -> None:
    crowded = replace(KNOWN, crowded=True)
    assert kinds(play(crowded)) == [m.Announce, m.Ask, m.Say]
    assert classes(play(crowded, "1")) == [m.Classify(Urgency.EMERGENCY)]


def test_english_lines_speak_english() -> None:
    english = replace(KNOWN, words=words("en"))
    for answers in (("1", "4"), ("2", "1", "1", "1", "1"), ("2", "2", "1", METERS, "130", "1")):
        for move in play(english, *answers):
            parts = [p for p in getattr(move, "parts", ()) if "Ленина" not in p and "Демо" not in p]
            assert not any("а" <= letter <= "я" for part in parts for letter in part.lower()), parts


def test_the_number_is_repeated_on_request() -> None:
    said = spoken(play(KNOWN, "1", "9", "1", "1", "1", None))
    assert said.count("один ноль два четыре") == 3
