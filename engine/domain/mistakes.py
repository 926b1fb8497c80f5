"""What is wrong with a company's files and how to mend it: every sentence of it, in Russian and in English."""

from __future__ import annotations

from typing import NamedTuple


class Mistake(NamedTuple):
    """(what is wrong, what to do) in each language; `{…}` are filled with the finding's words."""

    ru: tuple[str, str]
    en: tuple[str, str]


def _m(ru_what: str, ru_mend: str, en_what: str, en_mend: str) -> Mistake:
    return Mistake((ru_what, ru_mend), (en_what, en_mend))


READING = {
    "file.missing": _m("файла {name} нет", "создайте его", "there is no file {name}", "create it"),
    "file.unreadable": _m(
        "файл не читается ({reason})",
        "проверьте права на него",
        "the file cannot be read ({reason})",
        "check its permissions",
    ),
    "file.too_big": _m(
        "файл больше {megabytes} МБ", "разделите его", "the file is larger than {megabytes} MB", "split it"
    ),
    "file.encoding": _m(
        "файл сохранён не в UTF-8",
        "сохраните его в кодировке UTF-8",
        "the file is not UTF-8",
        "save it as UTF-8",
    ),
    "file.unexpected": _m(
        "файл {name} никем не читается", "{mend_ru}", "nothing reads the file {name}", "{mend_en}"
    ),
    "folder.missing": _m("папки {name} нет", "проверьте путь", "there is no folder {name}", "check the path"),
    "yaml.syntax": _m(
        "это не читается как YAML ({problem})",
        "проверьте отступы и кавычки здесь и строкой выше",
        "this is not YAML ({problem})",
        "check the indentation and the quotes here and in the line above",
    ),
    "yaml.tab": _m(
        "отступ сделан табуляцией", "замените её пробелами", "the indentation is a tab", "use spaces instead"
    ),
    "yaml.alias": _m(
        "ссылка «*…» ни на что не указывает",
        "поставьте такую же метку «&…» выше или уберите ссылку",
        "the alias refers to nothing",
        "set the anchor above or remove the alias",
    ),
    "yaml.documents": _m(
        "в файле больше одного документа",
        "уберите строку «---»",
        "there is more than one document",
        "remove the line `---`",
    ),
    "yaml.colon": _m(
        "двоеточие с пробелом здесь читается как новый ключ",
        "возьмите значение в кавычки",
        "a colon and a space begin a new key here",
        "put the value in quotes",
    ),
    "yaml.quote": _m("кавычка не закрыта", "закройте её", "the quote is not closed", "close it"),
    "yaml.bracket": _m("скобка не закрыта", "закройте её", "the bracket is not closed", "close it"),
    "yaml.start": _m(
        "с такого знака значение начинаться не может",
        "возьмите значение в кавычки",
        "a value cannot begin with this character",
        "put the value in quotes",
    ),
    "yaml.no_colon": _m(
        "после ключа нет двоеточия",
        "поставьте двоеточие и пробел",
        "there is no colon after the key",
        "add a colon and a space",
    ),
    "yaml.character": _m(
        "в файле есть непечатный знак", "удалите его", "there is a control character", "remove it"
    ),
    "yaml.deep": _m(
        "метки «&…» вложены друг в друга без конца",
        "напишите значение без ссылок",
        "the anchors contain each other without end",
        "write the value without aliases",
    ),
    "yaml.empty": _m(
        "файл пуст",
        "заполните его по образцу из docs/company.md",
        "the file is empty",
        "fill it, see docs/company.md",
    ),
    "yaml.tag": _m(
        "метка типа «{tag}» здесь не нужна", "удалите её", "the tag {tag} does not belong here", "remove it"
    ),
    "yaml.key": _m(
        "ключ — не слово", "напишите ключ одним словом", "the key is not a word", "write the key as one word"
    ),
    "yaml.duplicate": _m(
        "ключ «{key}» уже есть в строке {line}",
        "оставьте один из них",
        "the key {key} is already in line {line}",
        "keep one of them",
    ),
    "yaml.merge": _m(
        "«<<» вставляет только набор ключей",
        "укажите метку набора",
        "`<<` merges mappings only",
        "name the anchor of a mapping",
    ),
}

SHAPES = {
    "key.unknown": _m(
        "ключа «{key}» здесь нет", "бывают: {known}", "there is no key {key} here", "known are: {known}"
    ),
    "key.unknown_near": _m(
        "ключа «{key}» здесь нет",
        "вероятно, имелось в виду «{guess}»",
        "there is no key {key} here",
        "did you mean {guess}?",
    ),
    "key.missing": _m(
        "нет обязательного ключа «{key}»", "добавьте его", "the key {key} is missing", "add it"
    ),
    "value.empty": _m(
        "значение пусто", "впишите его или удалите ключ", "the value is empty", "fill it in or remove the key"
    ),
    "value.empty_list": _m("список пуст", "впишите хотя бы одно", "the list is empty", "name at least one"),
    "value.too_few": _m(
        "в списке должно быть не меньше {min_length}",
        "дополните его",
        "the list needs at least {min_length}",
        "add to it",
    ),
    "value.too_many": _m(
        "в списке должно быть не больше {max_length}",
        "сократите его",
        "the list may have at most {max_length}",
        "shorten it",
    ),
    "value.mapping": _m(
        "здесь нужны ключи, а написано «{value}»",
        "напишите «ключ: значение»",
        "keys are expected here, not {value}",
        "write `key: value`",
    ),
    "value.list": _m(
        "здесь нужен список, а написано «{value}»",
        "начните строки с «- »",
        "a list is expected here, not {value}",
        "begin lines with `- `",
    ),
    "value.text": _m(
        "здесь нужен текст, а написано «{value}»",
        "напишите одно значение",
        "text is expected here, not {value}",
        "write one value",
    ),
    "value.number": _m(
        "«{value}» — не целое число", "напишите число", "{value} is not a whole number", "write a number"
    ),
    "value.range": _m(
        "число {value} не подходит",
        "граница — {limit}",
        "the number {value} does not fit",
        "the limit is {limit}",
    ),
    "value.choice": _m(
        "«{value}» здесь не бывает",
        "бывает: {known}",
        "{value} is not possible here",
        "possible are: {known}",
    ),
    "value.duration": _m(
        "«{value}» — не срок",
        "напишите, например, 25s, 3m или 1h30m",
        "{value} is not a duration",
        "write 25s, 3m or 1h30m",
    ),
    "value.duration_unit": _m(
        "у срока {value} нет единицы",
        "допишите её: {value}s — секунды, {value}m — минуты, {value}h — часы",
        "the duration {value} has no unit",
        "add one: {value}s, {value}m or {value}h",
    ),
    "value.duration_range": _m(
        "срок {value} не подходит",
        "он больше нуля и не дольше 31 дня",
        "the duration {value} does not fit",
        "it is above zero, up to 31 days",
    ),
    "value.days": _m(
        "«{value}» — не число дней",
        "напишите, например, 1d или 1w",
        "{value} is not a number of days",
        "write 1d or 1w",
    ),
    "value.phone": _m(
        "«{value}» — не телефонный номер",
        "напишите номер целиком: +79161234567",
        "{value} is not a telephone number",
        "write it in full: +79161234567",
    ),
    "value.phone_short": _m(
        "короткий номер {value} здесь не годится",
        "напишите номер целиком: +79161234567",
        "the short number {value} cannot be used here",
        "write a full number: +79161234567",
    ),
    "value.prefix": _m(
        "«{value}» — не начало номера",
        "напишите, например, +7 или 112",
        "{value} is not the beginning of a number",
        "write +7 or 112",
    ),
    "value.clock": _m(
        "«{value}» — не время", "напишите, например, 08:00", "{value} is not a time of day", "write 08:00"
    ),
    "value.clocks": _m(
        "«{value}» — не часы",
        "напишите, например, 07:00-23:00",
        "{value} is not a span of hours",
        "write 07:00-23:00",
    ),
    "value.shift_clock": _m(
        "«{value}» — не начало и не конец смены",
        "напишите 08:00 или mon 08:00",
        "{value} is not a time of a shift",
        "write 08:00 or mon 08:00",
    ),
    "value.date": _m(
        "«{value}» — не дата", "напишите, например, 2026-05-01", "{value} is not a date", "write 2026-05-01"
    ),
    "value.date_absent": _m(
        "даты {value} не бывает", "исправьте её", "there is no date {value}", "correct it"
    ),
    "value.moment": _m(
        "«{value}» — не дата и время",
        "напишите, например, 2026-05-01 08:00",
        "{value} is not a date and time",
        "write 2026-05-01 08:00",
    ),
    "value.flats": _m(
        "«{value}» — не квартиры", "напишите, например, 1-80", "{value} is not a span of flats", "write 1-80"
    ),
    "value.zone": _m(
        "часового пояса «{value}» нет",
        "напишите, например, Europe/Moscow",
        "there is no time zone {value}",
        "write Europe/Moscow",
    ),
    "value.zone_near": _m(
        "часового пояса «{value}» нет",
        "вероятно, имелось в виду {guess}",
        "there is no time zone {value}",
        "did you mean {guess}?",
    ),
    "value.id": _m(
        "имя «{value}» не подходит",
        "только латинские буквы, цифры, «_», «-» и «.»",
        "the name {value} does not fit",
        "use Latin letters, digits, `_`, `-` and `.` only",
    ),
    "value.url": _m(
        "«{value}» — не адрес", "напишите https://…", "{value} is not an address", "write https://…"
    ),
    "value.day_rule": _m(
        "«{value}» — не день смены",
        "бывают: mon … sun, mon-fri, workdays, free_days, дата",
        "{value} names no days of a shift",
        "write mon … sun, mon-fri, workdays, free_days or a date",
    ),
    "target.one": _m(
        "цель называет не одно",
        "оставьте ровно один ключ из: {kinds}",
        "a target names exactly one thing",
        "keep one key of: {kinds}",
    ),
    "target.role": _m(
        "роль «{value}» написана не так",
        "напишите house.РОЛЬ или company.РОЛЬ",
        "the role {value} is not clear",
        "write house.ROLE or company.ROLE",
    ),
    "shift.who": _m(
        "у смены должен быть один ключ из двух: who или rotate",
        "оставьте один",
        "a shift has either `who` or `rotate`",
        "keep exactly one",
    ),
    "shift.weekday": _m(
        "день недели есть только у одного конца смены",
        "напишите его у обоих: mon 09:00",
        "only one end of the shift has a weekday",
        "write it at both: mon 09:00",
    ),
    "shift.days": _m(
        "дни смены названы дважды: в days и во from",
        "уберите days",
        "the days of the shift are named twice",
        "remove `days`",
    ),
    "span.backwards": _m(
        "конец раньше начала", "поменяйте их местами", "the end is before the beginning", "swap them"
    ),
    "policy.name": _m(
        "имя политики «{name}» не такое, как у файла {file}",
        "назовите их одинаково",
        "the policy's name {name} is not the file's, {file}",
        "give both the same name",
    ),
    "csv.header": _m(
        "столбца «{key}» нет среди известных",
        "бывают: {known}",
        "the column {key} is not known",
        "known are: {known}",
    ),
    "csv.missing": _m(
        "нет столбца «{key}»",
        "добавьте его в первую строку",
        "the column {key} is missing",
        "add it to the first line",
    ),
    "csv.fields": _m(
        "в строке {count} значений, а столбцов {columns}",
        "исправьте строку",
        "the line has {count} values for {columns} columns",
        "mend the line",
    ),
    "csv.empty": _m(
        "столбец «{key}» не заполнен", "заполните его", "the column {key} is empty", "fill it in"
    ),
    "ical.syntax": _m(
        "календарь {name} не читается",
        "выгрузите его заново в формате iCalendar (.ics)",
        "the calendar {name} cannot be read",
        "export it again as iCalendar (.ics)",
    ),
    "ical.person": _m(
        "в календаре {name} событие «{summary}» ({date}) не называет сотрудника",
        "пишите в названии события имя из contacts.yaml",
        "in the calendar {name} the event {summary} ({date}) names nobody",
        "write a contact's name or id as the event's title",
    ),
}

MEANING = {
    "contact.unknown": _m(
        "сотрудника «{name}» нет в contacts.yaml", "{hint_ru}", "there is no contact {name}", "{hint_en}"
    ),
    "roster.unknown": _m(
        "графика «{name}» нет в rosters.yaml", "{hint_ru}", "there is no roster {name}", "{hint_en}"
    ),
    "team.unknown": _m(
        "бригады «{name}» нет в company.yaml", "{hint_ru}", "there is no team {name}", "{hint_en}"
    ),
    "webhook.unknown": _m(
        "вебхука «{name}» нет в company.yaml", "{hint_ru}", "there is no webhook {name}", "{hint_en}"
    ),
    "house.unknown": _m(
        "дома «{name}» нет в houses.yaml", "{hint_ru}", "there is no house {name}", "{hint_en}"
    ),
    "policy.unknown": _m(
        "политики «{name}» нет в поставке", "{hint_ru}", "no policy {name} is shipped", "{hint_en}"
    ),
    "role.company": _m(
        "роль «{name}» в компании никому не назначена",
        "назначьте её в company.yaml, в roles",
        "nobody has the company's role {name}",
        "assign it in company.yaml, under roles",
    ),
    "role.house": _m(
        "роль «{name}» не назначена в домах: {houses}",
        "назначьте её в houses.yaml или, для всех домов сразу, в company.yaml",
        "nobody has the role {name} in: {houses}",
        "assign it in houses.yaml, or for all houses in company.yaml",
    ),
    "contact.no_number": _m(
        "у сотрудника «{name}» нет ни одного номера",
        "впишите numbers",
        "the contact {name} has no number",
        "add numbers",
    ),
    "contact.only_reserve": _m(
        "у сотрудника «{name}» только резервный номер, а он лишь для аварий",
        "впишите обычный номер в numbers",
        "the contact {name} has a reserve number only, and that is for emergencies",
        "add an ordinary one to numbers",
    ),
    "number.not_allowed": _m(
        "на номер {number} звонить не разрешено",
        "добавьте его начало в allowed_numbers или исправьте номер",
        "the number {number} may not be dialled",
        "add its beginning to allowed_numbers, or correct the number",
    ),
    "number.twice": _m(
        "номер {number} уже записан у «{other}»",
        "оставьте его у одного",
        "the number {number} already belongs to {other}",
        "keep it with one",
    ),
    "caller_id.foreign": _m(
        "номер {number} не из lines, а показывать можно только свой",
        "впишите один из номеров компании",
        "the caller ID {number} is not one of the lines",
        "use one of the company's own numbers",
    ),
    "roster.nobody": _m(
        "график «{name}» никого не называет",
        "добавьте always или shifts",
        "the roster {name} names nobody",
        "add always or shifts",
    ),
    "roster.gap": _m(
        "по графику «{name}» никто не дежурит: {gaps}",
        "добавьте смену или always",
        "nobody is on duty in {name}: {gaps}",
        "add a shift, or always",
    ),
    "roster.unused": _m(
        "график «{name}» не нужен ни одной политике",
        "назовите его в ring или удалите",
        "no policy uses the roster {name}",
        "use it or remove it",
    ),
    "day_off.stand_in": _m(
        "«{name}» заменяет самого себя",
        "назовите другого",
        "{name} stands in for themselves",
        "name somebody else",
    ),
    "step.twice": _m(
        "ступень «{name}» уже есть",
        "назовите её иначе",
        "there is already a step {name}",
        "give it another name",
    ),
    "step.unreachable": _m(
        "на ступени «{name}» звонить некому: {why}",
        "назовите в ring других или удалите ступень",
        "the step {name} can ring nobody: {why_en}",
        "name others in ring, or remove the step",
    ),
    "step.give_up": _m(
        "give_up_after ({give_up}) короче, чем ring_for ({ring_for}): вызов оборвётся",
        "увеличьте give_up_after",
        "give_up_after ({give_up}) is shorter than ring_for ({ring_for})",
        "make give_up_after longer",
    ),
    "step.out_of_time": _m(
        "на ступени «{name}» не хватит времени: очередь последнего из {count} наступит через {needs}, а give_up_after — {give_up}",
        "увеличьте give_up_after или звоните всем сразу (how: all_at_once)",
        "the step {name} runs out of time: the last of {count} is due after {needs}, give_up_after is {give_up}",
        "make give_up_after longer, or ring all_at_once",
    ),
    "policy.no_director": _m(
        "до директора эта политика не доходит",
        "последней ступенью звоните {{role: company.director}}",
        "this policy never reaches the director",
        "ring {{role: company.director}} in the last step",
    ),
    "policy.finite": _m(
        "аварийная политика повторяется лишь {repeat} раз и потом умолкнет",
        "напишите repeat: forever",
        "an emergency policy falls silent after {repeat} repeats",
        "write repeat: forever",
    ),
    "policy.no_alarm": _m(
        "когда никто не принял аварию, тревоги не будет",
        "назовите alarm в when_exhausted",
        "nobody is alarmed when an emergency is accepted by no one",
        "name an alarm in when_exhausted",
    ),
    "policy.same_cause": _m(
        "причину «{cause}» уже берёт политика «{other}»",
        "оставьте её в одной",
        "the cause {cause} is already taken by the policy {other}",
        "keep it in one",
    ),
    "policy.shadowed": _m(
        "причина «{cause}» лишняя: её уже включает «{other}»",
        "удалите её",
        "the cause {cause} is superfluous: {other} includes it",
        "remove it",
    ),
    "policies.none": _m(
        "нет ни одной политики для класса {urgency}",
        "напишите её или назовите готовую: policies: [{suggest}]",
        "there is no policy for the class {urgency}",
        "write one, or take a shipped one: policies: [{suggest}]",
    ),
    "role.director": _m(
        "у компании нет директора: роль director никому не назначена",
        "впишите roles: {{director: …}}, он последний в каждой аварии",
        "the company has no director",
        "add roles: {{director: …}}; every emergency ends with them",
    ),
    "team.empty": _m(
        "бригада «{name}» пуста", "впишите людей", "the team {name} is empty", "name its people"
    ),
    "cause.uncovered": _m(
        "причину «{cause}» ({urgency}) не берёт ни одна политика; пойдёт «{other}»",
        "добавьте её в for.causes или возьмите готовую политику default",
        "no policy covers the cause {cause} ({urgency}); {other} will be walked",
        "add it to for.causes, or take the shipped policy default",
    ),
    "resident.flat": _m(
        "квартиры {flat} в доме «{house}» нет (в нём {first}–{last})",
        "исправьте номер квартиры",
        "there is no flat {flat} in {house} ({first}–{last})",
        "correct the flat",
    ),
    "lines.none": _m(
        "у компании нет ни одного номера для жильцов", "впишите lines", "the company has no line", "add lines"
    ),
    "did.taken": _m(
        "номер {did} уже принадлежит компании «{other}»",
        "исправьте номер",
        "the DID {did} already belongs to {other}",
        "correct it",
    ),
    "company.taken": _m(
        "компания с id «{id}» уже есть в папке {other}",
        "дайте другой id",
        "the company id {id} is already in {other}",
        "choose another id",
    ),
}

MISTAKES: dict[str, Mistake] = READING | SHAPES | MEANING
