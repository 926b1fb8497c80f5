"""The API described in OpenAPI 3.1, by hand; a test holds it against the routes and the bodies."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from engine import __version__
from engine.console.api import actions, calls, desk, hotline, tickets
from engine.console.wire import reply
from engine.domain.model import Urgency
from engine.domain.ticket import Status

Schema = dict[str, Any]


def _query(name: str, what: str, schema: Schema | None = None) -> Schema:
    return {"name": name, "in": "query", "description": what, "schema": schema or {"type": "string"}}


def _path(name: str, kind: str = "string") -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": {"type": kind}}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _answers(schema: Schema, *problems: int, status: int = 200, what: str = "OK") -> Schema:
    refused = {
        "description": "Problem details",
        "content": {"application/problem+json": {"schema": _ref("Problem")}},
    }
    return {
        str(status): {"description": what, "content": _json(schema)},
        **{str(code): refused for code in problems},
    }


def _list(name: str, item: str) -> Schema:
    return {"type": "object", "properties": {name: {"type": "array", "items": _ref(item)}}}


LIMIT = _query("limit", "how many at most", {"type": "integer", "minimum": 1, "maximum": 200, "default": 50})
COMPANY = _query("company", "one company only")
TICKET = _query("ticket", "one ticket only", {"type": "integer"})
NUMBER = _path("number", "integer")
OPEN: list[Schema] = []
"""The `security` of what needs no token."""


def _action(name: str, body: type[msgspec.Struct], what: str) -> tuple[str, Schema]:
    operation = {
        "summary": what,
        "tags": ["tickets"],
        "parameters": [NUMBER],
        "requestBody": {"content": _json(_ref(body.__name__))},
        "responses": _answers(_ref("Ticket"), 401, 403, 404, 409, 422),
    }
    return f"/api/v1/tickets/{{number}}/{name}", {"post": operation}


def _get(summary: str, answers: Schema, *parameters: Schema, **more: Any) -> Schema:
    return {"get": {"summary": summary, "parameters": list(parameters), "responses": answers, **more}}


def _paths() -> Schema:
    anything: Schema = {"type": "object"}
    sound = {"schema": {"type": "string", "format": "binary"}}
    return {
        "/healthz": _get("The engine is alive", _answers(anything), security=OPEN),
        "/readyz": _get("Each component with its state", _answers(anything, 503), security=OPEN),
        "/metrics": _get(
            "Prometheus metrics",
            {"200": {"description": "OK", "content": {"text/plain": {"schema": {"type": "string"}}}}},
            security=OPEN,
        ),
        "/api/v1/openapi.json": _get("This description", _answers(anything), security=OPEN),
        "/api/v1/tickets": {
            **_get(
                "Tickets, newest first",
                _answers(_list("tickets", "TicketRow"), 401, 422),
                COMPANY,
                _query("status", "repeat it for several", {"type": "string", "enum": list(Status)}),
                _query("urgency", "one class only", {"type": "string", "enum": list(Urgency)}),
                _query("house", "one house only"),
                _query("phone", "one applicant's number only"),
                _query("before", "go on below this number", {"type": "integer"}),
                LIMIT,
            ),
            "post": {
                "summary": "Open a ticket; an emergency's walk begins at once",
                "tags": ["tickets"],
                "parameters": [
                    {
                        "name": "Idempotency-Key",
                        "in": "header",
                        "schema": {"type": "string"},
                        "description": "the same key opens nothing new",
                    }
                ],
                "requestBody": {"required": True, "content": _json(_ref("NewTicket"))},
                "responses": _answers(_ref("Ticket"), 400, 401, 403, 422, status=201, what="Opened"),
            },
        },
        "/api/v1/tickets/{number}": _get("A whole ticket", _answers(_ref("Ticket"), 401, 404), NUMBER),
        "/api/v1/tickets/{number}/events": _get(
            "The timeline; with Accept: text/event-stream it goes on as Server-Sent Events",
            {
                **_answers({}, 401, 404),
                "200": {
                    "description": "OK",
                    "content": {**_json(_list("events", "Event")), "text/event-stream": {}},
                },
            },
            NUMBER,
            _query("after", "only events with a higher seq", {"type": "integer"}),
            {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}},
        ),
        **dict(
            [
                _action(
                    "accept",
                    actions.Acceptance,
                    "Take responsibility: first to come wins, the others get 409",
                ),
                _action("decline", actions.Refusal, "Will not come; the walk moves on at once"),
                _action("report", actions.Progress, "On the way, arrived, localised, done"),
                _action("close", actions.Because, "Close; the walk stops"),
                _action("reopen", actions.Because, "Open again; an emergency is walked anew"),
                _action("note", actions.Note, "Put a remark on the timeline"),
            ]
        ),
        **_desk_paths(),
        **_hotline_paths(),
        "/api/v1/calls": _get(
            "Calls, newest first", _answers(_list("calls", "Call"), 401, 422), COMPANY, TICKET, LIMIT
        ),
        "/api/v1/calls/{call}/recording": {
            "post": {
                "summary": "Pause what is recorded of a call that is up, or go on; the gap is marked",
                "tags": ["calls"],
                "parameters": [_path("call")],
                "requestBody": {"required": True, "content": _json(_ref("RecordingAsked"))},
                "responses": _answers(anything, 401, 403, 404, 409, 422, 503),
            }
        },
        "/api/v1/recordings/{id}": _get(
            "The sound of a call; ranges are honoured, each access is put on record",
            {
                "200": {"description": "The whole", "content": {"audio/wav": sound, "audio/ogg": sound}},
                "206": {"description": "A range", "content": {"audio/wav": sound, "audio/ogg": sound}},
                **{
                    code: answer for code, answer in _answers({}, 401, 404, 406, 422).items() if code != "200"
                },
            },
            _path("id"),
            _query("leg", "far end, our side, or both", {"type": "string", "enum": ["in", "out", "both"]}),
            _query("format", "of the file", {"type": "string", "enum": ["wav", "opus", "flac"]}),
            _query("levels", "as recorded, or evened", {"type": "string", "enum": ["original", "even"]}),
            _query("download", "present: as an attachment"),
        ),
        "/api/v1/recordings/{id}/peaks": _get(
            "What a player draws", _answers(anything, 401, 404), _path("id")
        ),
        "/api/v1/texts": _get(
            "Text messages and their delivery, newest first",
            _answers(_list("texts", "Text"), 401, 422),
            COMPANY,
            TICKET,
            _query("number", "to one number only"),
            LIMIT,
        ),
        "/api/v1/on-call": _get(
            "Who is on duty, by roster",
            _answers(anything, 401, 422),
            COMPANY,
            _query("at", "an instant with its offset; now", {"type": "string", "format": "date-time"}),
        ),
    }


def _desk_paths() -> Schema:
    anything: Schema = {"type": "object"}
    phone = _path("phone")

    def post(
        what: str, parameters: list[Schema], answers: Schema, body: type[msgspec.Struct] | None
    ) -> Schema:
        operation: Schema = {
            "summary": what,
            "tags": ["operators"],
            "parameters": parameters,
            "responses": answers,
        }
        if body is not None:
            operation["requestBody"] = {"content": _json(_ref(body.__name__))}
        return {"post": operation}

    refused = (401, 403, 404, 409, 422)
    called = _answers(anything, *refused, status=202, what="The desk phone rings")
    verb = {**_path("verb"), "schema": {"type": "string", "enum": list(desk.VERBS)}}
    return {
        "/api/v1/desks": _get("Desk phones: who sits there, what goes on", _answers(anything, 401)),
        "/api/v1/desks/{phone}/sign-in": post("Sit down", [phone], _answers(anything, *refused), desk.SignIn),
        "/api/v1/desks/{phone}/sign-out": post("Leave", [phone], _answers(anything, *refused), None),
        "/api/v1/tickets/{number}/calls": post(
            "Ring a desk phone, then the other side", [NUMBER], called, desk.NewCall
        ),
        "/api/v1/tickets/{number}/calls/{call}/{verb}": post(
            "Change a talk that goes on; a body for add and transfer alone",
            [NUMBER, _path("call"), verb],
            _answers(anything, *refused),
            desk.Bring,
        ),
    }


def _hotline_paths() -> Schema:
    anything: Schema = {"type": "object"}
    told = _answers(
        {"type": "object", "properties": {"number": {"type": "integer"}, "texts": {"type": "integer"}}},
        *(401, 403, 404, 422),
        status=201,
    )
    return {
        "/api/v1/news": {
            "post": {
                "summary": "Tell the callers of some houses, and by text their residents; its ticket, closed, ends it",
                "tags": ["hotline"],
                "requestBody": {"required": True, "content": _json(_ref("NewNews"))},
                "responses": told,
            }
        },
        "/api/v1/incidents": _get(
            "What callers are told: known incidents with their voices, and news",
            _answers(anything, 401),
            COMPANY,
        ),
        "/api/v1/readings": _get(
            "Meter readings, the earliest first",
            _answers(anything, 401, 422),
            COMPANY,
            _query("house", "one flat only, with `flat`"),
            _query("flat", "one flat only, with `house`"),
            _query("since", "from that instant on", {"type": "string", "format": "date-time"}),
            _query("format", "json, or a table", {"type": "string", "enum": ["json", "csv"]}),
        ),
        "/api/v1/catalogue": _get(
            "The causes and the menu of a company", _answers(anything, 401, 404, 422), COMPANY
        ),
    }


def _schemas() -> Schema:
    bodies = [
        hotline.NewNews,
        desk.SignIn,
        desk.NewCall,
        desk.Bring,
        tickets.NewTicket,
        actions.Acceptance,
        actions.Refusal,
        actions.Progress,
        actions.Because,
        actions.Note,
        calls.RecordingAsked,
    ]
    _, written = msgspec.json.schema_components(bodies, ref_template="#/components/schemas/{name}")
    text: Schema = {"type": "string"}
    maybe: Schema = {"type": ["string", "null"]}
    instant: Schema = {"type": ["string", "null"], "format": "date-time"}
    row: Schema = {
        "number": {"type": "integer"},
        "company": text,
        "status": {"type": "string", "enum": list(Status)},
        "urgency": maybe,
        "cause": maybe,
        "title": maybe,
        "premises": {"type": "object"},
        "phone": maybe,
        "channel": text,
        "opened_at": instant,
        "accepted": {"type": ["object", "null"]},
        "closed_at": instant,
        "events": {"type": "integer"},
    }
    whole = {
        "calls": {"type": "array", "items": _ref("Call")},
        "texts": {"type": "array", "items": _ref("Text")},
    }
    return {
        **written,
        "TicketRow": {"type": "object", "properties": row},
        "Ticket": {"type": "object", "properties": {**row, **whole, "text": maybe, "policy": maybe}},
        "Event": {
            "type": "object",
            "required": ["seq", "at", "type"],
            "properties": {"seq": {"type": "integer"}, "at": instant, "type": text},
            "additionalProperties": True,
        },
        "Call": {
            "type": "object",
            "properties": {"call": text, "kind": text, "recording": {"type": ["object", "null"]}},
        },
        "Text": {
            "type": "object",
            "properties": {"text": text, "number": text, "body": text, "status": text},
        },
        "Problem": {
            "type": "object",
            "description": "RFC 9457",
            "properties": {
                "type": text,
                "title": text,
                "status": {"type": "integer"},
                "detail": text,
                "errors": {
                    "type": "array",
                    "items": {"type": "object", "properties": {"field": text, "reason": text}},
                },
            },
        },
    }


def description() -> Schema:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Dozvon", "version": __version__, "license": {"name": "MIT", "identifier": "MIT"}},
        "paths": _paths(),
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


async def openapi(request: web.Request) -> web.Response:
    """The description, for clients and their generators."""
    return reply(description())


ROUTES = [web.get("/api/v1/openapi.json", openapi)]
