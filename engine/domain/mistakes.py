"""What is wrong with a company's files and how to mend it: every sentence of it, in Russian and in English."""

from __future__ import annotations

from engine.domain.mistakes_of_form import READING, SHAPES, Mistake, sentence

MEANING = {
    "contact.unknown": sentence(
        "сотрудника «{name}» нет в contacts.yaml", "{hint_ru}", "there is no contact {name}", "{hint_en}"
    ),
    "roster.unknown": sentence(
        "графика «{name}» нет в rosters.yaml", "{hint_ru}", "there is no roster {name}", "{hint_en}"
    ),
    "team.unknown": sentence(
        "бригады «{name}» нет в company.yaml", "{hint_ru}", "there is no team {name}", "{hint_en}"
    ),
    "webhook.unknown": sentence(
        "вебхука «{name}» нет в company.yaml", "{hint_ru}", "there is no webhook {name}", "{hint_en}"
    ),
    "house.unknown": sentence(
        "дома «{name}» нет в houses.yaml", "{hint_ru}", "there is no house {name}", "{hint_en}"
    ),
    "policy.unknown": sentence(
        "политики «{name}» нет в поставке", "{hint_ru}", "no policy {name} is shipped", "{hint_en}"
    ),
    "role.company": sentence(
        "роль «{name}» в компании никому не назначена",
        "назначьте её в company.yaml, в roles",
        "nobody has the company's role {name}",
        "assign it in company.yaml, under roles",
    ),
    "role.house": sentence(
        "роль «{name}» не назначена в домах: {houses}",
        "назначьте её в houses.yaml или, для всех домов сразу, в company.yaml",
        "nobody has the role {name} in: {houses}",
        "assign it in houses.yaml, or for all houses in company.yaml",
    ),
    "contact.no_number": sentence(
        "у сотрудника «{name}» нет ни одного номера",
        "впишите numbers",
        "the contact {name} has no number",
        "add numbers",
    ),
    "contact.only_reserve": sentence(
        "у сотрудника «{name}» только резервный номер, а он лишь для аварий",
        "впишите обычный номер в numbers",
        "the contact {name} has a reserve number only, and that is for emergencies",
        "add an ordinary one to numbers",
    ),
    "number.not_allowed": sentence(
        "на номер {number} звонить не разрешено",
        "добавьте его начало в allowed_numbers или исправьте номер",
        "the number {number} may not be dialled",
        "add its beginning to allowed_numbers, or correct the number",
    ),
    "number.twice": sentence(
        "номер {number} уже записан у «{other}»",
        "оставьте его у одного",
        "the number {number} already belongs to {other}",
        "keep it with one",
    ),
    "clock.unknown": sentence(
        "срока «{value}» нет", "{hint_ru}", "there is no deadline {value}", "{hint_en}"
    ),
    "menu.unknown": sentence(
        "в меню «{group}» пункт «{name}» ничего не называет",
        "{hint_ru}",
        "in the menu {group} the choice {name} names nothing",
        "{hint_en}",
    ),
    "menu.long": sentence(
        "в меню «{group}» больше пяти пунктов",
        "перенесите часть в другую группу",
        "the menu {group} has more than five choices",
        "move some into another group",
    ),
    "menu.circle": sentence(
        "меню «{group}» ходит по кругу через «{name}»",
        "уберите этот пункт",
        "the menu {group} leads back to itself by {name}",
        "remove that choice",
    ),
    "caller_id.foreign": sentence(
        "номер {number} не из lines, а показывать можно только свой",
        "впишите один из номеров компании",
        "the caller ID {number} is not one of the lines",
        "use one of the company's own numbers",
    ),
    "roster.nobody": sentence(
        "график «{name}» никого не называет",
        "добавьте always или shifts",
        "the roster {name} names nobody",
        "add always or shifts",
    ),
    "roster.gap": sentence(
        "по графику «{name}» никто не дежурит: {gaps}",
        "добавьте смену или always",
        "nobody is on duty in {name}: {gaps}",
        "add a shift, or always",
    ),
    "roster.unused": sentence(
        "график «{name}» не нужен ни одной политике",
        "назовите его в ring или удалите",
        "no policy uses the roster {name}",
        "use it or remove it",
    ),
    "day_off.stand_in": sentence(
        "«{name}» заменяет самого себя",
        "назовите другого",
        "{name} stands in for themselves",
        "name somebody else",
    ),
    "step.twice": sentence(
        "ступень «{name}» уже есть",
        "назовите её иначе",
        "there is already a step {name}",
        "give it another name",
    ),
    "step.unreachable": sentence(
        "на ступени «{name}» звонить некому: у её людей только резервные номера, а они лишь для аварий",
        "впишите им обычный номер или назовите других",
        "the step {name} can ring nobody: its people have reserve numbers only, and those are for emergencies",
        "give them an ordinary number, or name others",
    ),
    "step.give_up": sentence(
        "give_up_after ({give_up}) короче, чем ring_for ({ring_for}): вызов оборвётся",
        "увеличьте give_up_after",
        "give_up_after ({give_up}) is shorter than ring_for ({ring_for})",
        "make give_up_after longer",
    ),
    "step.out_of_time": sentence(
        "на ступени «{name}» не хватит времени: очередь последнего из {count} наступит через {needs}, а give_up_after — {give_up}",
        "увеличьте give_up_after или звоните всем сразу (how: all_at_once)",
        "the step {name} runs out of time: the last of {count} is due after {needs}, give_up_after is {give_up}",
        "make give_up_after longer, or ring all_at_once",
    ),
    "policy.no_director": sentence(
        "до директора эта политика не доходит",
        "последней ступенью звоните {{role: company.director}}",
        "this policy never reaches the director",
        "ring {{role: company.director}} in the last step",
    ),
    "policy.finite": sentence(
        "повторов лишь {repeat}, а потом авария умолкнет",
        "напишите repeat: forever",
        "an emergency policy falls silent after {repeat} repeats",
        "write repeat: forever",
    ),
    "policy.no_alarm": sentence(
        "когда никто не принял аварию, тревоги не будет",
        "назовите alarm в when_exhausted",
        "nobody is alarmed when an emergency is accepted by no one",
        "name an alarm in when_exhausted",
    ),
    "policy.same_cause": sentence(
        "причину «{cause}» уже берёт политика «{other}»",
        "оставьте её в одной",
        "the cause {cause} is already taken by the policy {other}",
        "keep it in one",
    ),
    "policy.shadowed": sentence(
        "причина «{cause}» лишняя: её уже включает «{other}»",
        "удалите её",
        "the cause {cause} is superfluous: {other} includes it",
        "remove it",
    ),
    "policies.none": sentence(
        "нет ни одной политики для класса {urgency}",
        "напишите её или назовите готовую: policies: [{suggest}]",
        "there is no policy for the class {urgency}",
        "write one, or take a shipped one: policies: [{suggest}]",
    ),
    "role.director": sentence(
        "у компании нет директора: роль director никому не назначена",
        "впишите roles: {{director: …}}, он последний в каждой аварии",
        "the company has no director",
        "add roles: {{director: …}}; every emergency ends with them",
    ),
    "cause.uncovered": sentence(
        "причину «{cause}» ({urgency}) не берёт ни одна политика; пойдёт «{other}»",
        "добавьте её в for.causes или возьмите готовую политику default",
        "no policy covers the cause {cause} ({urgency}); {other} will be walked",
        "add it to for.causes, or take the shipped policy default",
    ),
    "resident.flat": sentence(
        "квартиры {flat} в доме «{house}» нет (в нём {first}–{last})",
        "исправьте номер квартиры",
        "there is no flat {flat} in {house} ({first}–{last})",
        "correct the flat",
    ),
    "lines.none": sentence(
        "у компании нет ни одного номера для жильцов", "впишите lines", "the company has no line", "add lines"
    ),
    "did.taken": sentence(
        "номер {did} уже принадлежит компании «{other}»",
        "исправьте номер",
        "the DID {did} already belongs to {other}",
        "correct it",
    ),
    "company.taken": sentence(
        "компания с id «{id}» уже есть в папке {other}",
        "дайте другой id",
        "the company id {id} is already in {other}",
        "choose another id",
    ),
}

MISTAKES: dict[str, Mistake] = READING | SHAPES | MEANING
"""Every sentence by its finding's code."""
