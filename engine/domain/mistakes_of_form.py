"""The sentences about files that cannot be read and values that do not fit, in Russian and in English."""

from __future__ import annotations

from typing import NamedTuple


class Mistake(NamedTuple):
    """(what is wrong, what to do) in each language; `{…}` are filled with the finding's words."""

    ru: tuple[str, str]
    en: tuple[str, str]


def sentence(ru_what: str, ru_mend: str, en_what: str, en_mend: str) -> Mistake:
    return Mistake((ru_what, ru_mend), (en_what, en_mend))


READING = {
    "file.missing": sentence("файла {name} нет", "создайте его", "there is no file {name}", "create it"),
    "file.unreadable": sentence(
        "файл не читается ({reason})",
        "проверьте права на него",
        "the file cannot be read ({reason})",
        "check its permissions",
    ),
    "file.too_big": sentence(
        "файл больше {megabytes} МБ", "разделите его", "the file is larger than {megabytes} MB", "split it"
    ),
    "file.encoding": sentence(
        "файл сохранён не в UTF-8",
        "сохраните его в кодировке UTF-8",
        "the file is not UTF-8",
        "save it as UTF-8",
    ),
    "file.unexpected": sentence(
        "файл {name} никем не читается", "{mend_ru}", "nothing reads the file {name}", "{mend_en}"
    ),
    "folder.missing": sentence(
        "папки {name} нет", "проверьте путь", "there is no folder {name}", "check the path"
    ),
    "yaml.syntax": sentence(
        "это не читается как YAML ({problem})",
        "проверьте отступы и кавычки здесь и строкой выше",
        "this is not YAML ({problem})",
        "check the indentation and the quotes here and in the line above",
    ),
    "yaml.tab": sentence(
        "отступ сделан табуляцией", "замените её пробелами", "the indentation is a tab", "use spaces instead"
    ),
    "yaml.alias": sentence(
        "ссылка «*…» ни на что не указывает",
        "поставьте такую же метку «&…» выше или уберите ссылку",
        "the alias refers to nothing",
        "set the anchor above or remove the alias",
    ),
    "yaml.documents": sentence(
        "в файле больше одного документа",
        "уберите строку «---»",
        "there is more than one document",
        "remove the line `---`",
    ),
    "yaml.colon": sentence(
        "двоеточие с пробелом здесь читается как новый ключ",
        "возьмите значение в кавычки",
        "a colon and a space begin a new key here",
        "put the value in quotes",
    ),
    "yaml.quote": sentence("кавычка не закрыта", "закройте её", "the quote is not closed", "close it"),
    "yaml.bracket": sentence("скобка не закрыта", "закройте её", "the bracket is not closed", "close it"),
    "yaml.start": sentence(
        "с такого знака значение начинаться не может",
        "возьмите значение в кавычки",
        "a value cannot begin with this character",
        "put the value in quotes",
    ),
    "yaml.no_colon": sentence(
        "после ключа нет двоеточия",
        "поставьте двоеточие и пробел",
        "there is no colon after the key",
        "add a colon and a space",
    ),
    "yaml.character": sentence(
        "в файле есть непечатный знак", "удалите его", "there is a control character", "remove it"
    ),
    "yaml.deep": sentence(
        "метки «&…» вложены друг в друга без конца",
        "напишите значение без ссылок",
        "the anchors contain each other without end",
        "write the value without aliases",
    ),
    "yaml.empty": sentence(
        "файл пуст",
        "заполните его по образцу из docs/company.md",
        "the file is empty",
        "fill it, see docs/company.md",
    ),
    "yaml.tag": sentence(
        "метка типа «{tag}» здесь не нужна", "удалите её", "the tag {tag} does not belong here", "remove it"
    ),
    "yaml.key": sentence(
        "ключ — не слово", "напишите ключ одним словом", "the key is not a word", "write the key as one word"
    ),
    "yaml.duplicate": sentence(
        "ключ «{key}» уже есть в строке {line}",
        "оставьте один из них",
        "the key {key} is already in line {line}",
        "keep one of them",
    ),
    "yaml.merge": sentence(
        "«<<» вставляет только набор ключей",
        "укажите метку набора",
        "`<<` merges mappings only",
        "name the anchor of a mapping",
    ),
}

SHAPES = {
    "key.unknown": sentence(
        "ключа «{key}» здесь нет", "бывают: {known}", "there is no key {key} here", "known are: {known}"
    ),
    "key.unknown_near": sentence(
        "ключа «{key}» здесь нет",
        "вероятно, имелось в виду «{guess}»",
        "there is no key {key} here",
        "did you mean {guess}?",
    ),
    "key.missing": sentence(
        "нет обязательного ключа «{key}»", "добавьте его", "the key {key} is missing", "add it"
    ),
    "value.empty": sentence(
        "значение пусто", "впишите его или удалите ключ", "the value is empty", "fill it in or remove the key"
    ),
    "value.empty_list": sentence(
        "список пуст", "впишите хотя бы одно", "the list is empty", "name at least one"
    ),
    "value.too_few": sentence(
        "в списке должно быть не меньше {min_length}",
        "дополните его",
        "the list needs at least {min_length}",
        "add to it",
    ),
    "value.too_many": sentence(
        "в списке должно быть не больше {max_length}",
        "сократите его",
        "the list may have at most {max_length}",
        "shorten it",
    ),
    "value.mapping": sentence(
        "здесь нужны ключи, а написано «{value}»",
        "напишите «ключ: значение»",
        "keys are expected here, not {value}",
        "write `key: value`",
    ),
    "value.list": sentence(
        "здесь нужен список, а написано «{value}»",
        "начните строки с «- »",
        "a list is expected here, not {value}",
        "begin lines with `- `",
    ),
    "value.text": sentence(
        "здесь нужен текст, а написано «{value}»",
        "напишите одно значение",
        "text is expected here, not {value}",
        "write one value",
    ),
    "value.number": sentence(
        "«{value}» — не целое число", "напишите число", "{value} is not a whole number", "write a number"
    ),
    "value.range": sentence(
        "число {value} не подходит",
        "граница — {limit}",
        "the number {value} does not fit",
        "the limit is {limit}",
    ),
    "value.choice": sentence(
        "«{value}» здесь не бывает",
        "бывает: {known}",
        "{value} is not possible here",
        "possible are: {known}",
    ),
    "value.duration": sentence(
        "«{value}» — не срок",
        "напишите, например, 25s, 3m или 1h30m",
        "{value} is not a duration",
        "write 25s, 3m or 1h30m",
    ),
    "value.duration_unit": sentence(
        "у срока {value} нет единицы",
        "допишите её: {value}s — секунды, {value}m — минуты, {value}h — часы",
        "the duration {value} has no unit",
        "add one: {value}s, {value}m or {value}h",
    ),
    "value.duration_range": sentence(
        "срок {value} не подходит",
        "он больше нуля и не дольше 31 дня",
        "the duration {value} does not fit",
        "it is above zero, up to 31 days",
    ),
    "value.days": sentence(
        "«{value}» — не число дней",
        "напишите, например, 1d или 1w",
        "{value} is not a number of days",
        "write 1d or 1w",
    ),
    "value.phone": sentence(
        "«{value}» — не телефонный номер",
        "напишите номер целиком: +79161234567",
        "{value} is not a telephone number",
        "write it in full: +79161234567",
    ),
    "value.phone_short": sentence(
        "короткий номер {value} здесь не годится",
        "напишите номер целиком: +79161234567",
        "the short number {value} cannot be used here",
        "write a full number: +79161234567",
    ),
    "value.prefix": sentence(
        "«{value}» — не начало номера",
        "напишите, например, +7 или 112",
        "{value} is not the beginning of a number",
        "write +7 or 112",
    ),
    "value.clock": sentence(
        "«{value}» — не время", "напишите, например, 08:00", "{value} is not a time of day", "write 08:00"
    ),
    "value.clocks": sentence(
        "«{value}» — не часы",
        "напишите, например, 07:00-23:00",
        "{value} is not a span of hours",
        "write 07:00-23:00",
    ),
    "value.clocks_empty": sentence(
        "часы {value} не длятся ни минуты",
        "напишите, например, 00:00-23:59",
        "the hours {value} are none",
        "write 00:00-23:59",
    ),
    "value.shift_clock": sentence(
        "«{value}» — не начало и не конец смены",
        "напишите 08:00 или mon 08:00",
        "{value} is not a time of a shift",
        "write 08:00 or mon 08:00",
    ),
    "value.date": sentence(
        "«{value}» — не дата", "напишите, например, 2026-05-01", "{value} is not a date", "write 2026-05-01"
    ),
    "value.date_absent": sentence(
        "даты {value} не бывает", "исправьте её", "there is no date {value}", "correct it"
    ),
    "value.moment": sentence(
        "«{value}» — не дата и время",
        "напишите, например, 2026-05-01 08:00",
        "{value} is not a date and time",
        "write 2026-05-01 08:00",
    ),
    "value.flats": sentence(
        "«{value}» — не квартиры", "напишите, например, 1-80", "{value} is not a span of flats", "write 1-80"
    ),
    "value.zone": sentence(
        "часового пояса «{value}» нет",
        "напишите, например, Europe/Moscow",
        "there is no time zone {value}",
        "write Europe/Moscow",
    ),
    "value.zone_near": sentence(
        "часового пояса «{value}» нет",
        "вероятно, имелось в виду {guess}",
        "there is no time zone {value}",
        "did you mean {guess}?",
    ),
    "value.id": sentence(
        "имя «{value}» не подходит",
        "только латинские буквы, цифры, «_», «-» и «.»",
        "the name {value} does not fit",
        "use Latin letters, digits, `_`, `-` and `.` only",
    ),
    "value.url": sentence(
        "«{value}» — не адрес", "напишите https://…", "{value} is not an address", "write https://…"
    ),
    "value.day_rule": sentence(
        "«{value}» — не день смены",
        "бывают: mon … sun, mon-fri, workdays, free_days, дата",
        "{value} names no days of a shift",
        "write mon … sun, mon-fri, workdays, free_days or a date",
    ),
    "target.one": sentence(
        "цель называет не одно",
        "оставьте ровно один ключ из: {kinds}",
        "a target names exactly one thing",
        "keep one key of: {kinds}",
    ),
    "target.role": sentence(
        "роль «{value}» написана не так",
        "напишите house.РОЛЬ или company.РОЛЬ",
        "the role {value} is not clear",
        "write house.ROLE or company.ROLE",
    ),
    "shift.who": sentence(
        "у смены должен быть один ключ из двух: who или rotate",
        "оставьте один",
        "a shift has either `who` or `rotate`",
        "keep exactly one",
    ),
    "shift.weekday": sentence(
        "день недели есть только у одного конца смены",
        "напишите его у обоих: mon 09:00",
        "only one end of the shift has a weekday",
        "write it at both: mon 09:00",
    ),
    "shift.days": sentence(
        "дни смены названы дважды: в days и во from",
        "уберите days",
        "the days of the shift are named twice",
        "remove `days`",
    ),
    "span.backwards": sentence(
        "конец раньше начала", "поменяйте их местами", "the end is before the beginning", "swap them"
    ),
    "policy.name": sentence(
        "имя политики «{name}» не такое, как у файла {file}",
        "назовите их одинаково",
        "the policy's name {name} is not the file's, {file}",
        "give both the same name",
    ),
    "csv.header": sentence(
        "столбца «{key}» нет среди известных",
        "бывают: {known}",
        "the column {key} is not known",
        "known are: {known}",
    ),
    "csv.missing": sentence(
        "нет столбца «{key}»",
        "добавьте его в первую строку",
        "the column {key} is missing",
        "add it to the first line",
    ),
    "csv.fields": sentence(
        "в строке {count} значений, а столбцов {columns}",
        "исправьте строку",
        "the line has {count} values for {columns} columns",
        "mend the line",
    ),
    "csv.empty": sentence(
        "столбец «{key}» не заполнен", "заполните его", "the column {key} is empty", "fill it in"
    ),
    "ical.syntax": sentence(
        "календарь {name} не читается",
        "выгрузите его заново в формате iCalendar (.ics)",
        "the calendar {name} cannot be read",
        "export it again as iCalendar (.ics)",
    ),
    "ical.person": sentence(
        "в календаре {name} событие «{summary}» ({date}) не называет сотрудника",
        "пишите в названии события имя из contacts.yaml",
        "in the calendar {name} the event {summary} ({date}) names nobody",
        "write a contact's name or id as the event's title",
    ),
}
