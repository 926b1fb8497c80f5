"""The company that the benches phone: a hundred houses, each with staff of its own, so that a dialled number tells whose walk it is."""

from __future__ import annotations

from pathlib import Path

CHAINS = 100
PLACES = 6
"""So many houses, and so many people for each."""
DID = "+74950000112"
DIRECTOR = "+79009990000"

POLICY = """\
version: 1
name: {name}
title: {name}
for: {{urgency: emergency, causes: ["{cause}.*"]}}
steps:
  - name: brigade
    ring: [{ring}]
    how: {how}
    sms: never
    ring_for: 60s
    calls: {calls}
    again_after: 1h
    give_up_after: 1h
  - name: director
    ring: {{role: company.director}}
    sms: never
when_exhausted: {{repeat: forever, every: 1h, alarm: [{{role: company.director}}]}}
"""


def number_of(chain: int, place: int) -> str:
    """The number of one person of one house."""
    return f"+7900{chain:03d}{place:04d}"


def place_of(number: str) -> tuple[int, int]:
    """Whose number it is: (house, person)."""
    return int(number[5:8]), int(number[8:12])


def write(folder: Path) -> None:
    """Write the company's folder. Causes: `chain.…` rings one after the other, `crowd.…` the first five at once, `one.…` one person."""
    roles = [f"{{role: house.p{place}}}" for place in range(PLACES)]
    house = (
        "h{chain}:\n  city: Москва\n  street: Проверочная улица\n  number: {chain}\n  roles: {{{roles}}}\n"
    )
    (folder / "policies").mkdir(parents=True)
    (folder / "company.yaml").write_text(
        "id: bench\ntitle: Проверка\ngreeting: Аварийная служба.\n"
        f"caller_id: {DID}\nlines: [{{did: {DID}}}]\nroles: {{director: director, engineer: director, supervisor: director}}\n"
        "policies: [default, urgent]\n"
    )
    (folder / "rosters.yaml").write_text("always: {always: [director]}\n")
    (folder / "houses.yaml").write_text(
        "".join(
            house.format(
                chain=chain, roles=", ".join(f"p{place}: c{chain}-{place}" for place in range(PLACES))
            )
            for chain in range(CHAINS)
        )
    )
    (folder / "contacts.yaml").write_text(
        f"director: {{name: Директор, numbers: [{DIRECTOR}]}}\n"
        + "".join(
            f"c{chain}-{place}: {{name: Сотрудник {chain} {place}, numbers: [{number_of(chain, place)}]}}\n"
            for chain in range(CHAINS)
            for place in range(PLACES)
        )
    )
    for name, ring, how, calls in (
        ("chain", roles, "one_by_one", 1),
        ("crowd", roles[:5], "all_at_once", 1),
        ("one", roles[:1], "one_by_one", 2),  # the second one in an hour: so nobody else is rung
    ):
        text = POLICY.format(name=name, cause=name, ring=", ".join(ring), how=how, calls=calls)
        (folder / "policies" / f"{name}.yaml").write_text(text)
