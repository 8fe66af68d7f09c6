"""What the door understands, as OpenAPI 3.1: one path a source, and the same answers for all of them."""

from collections.abc import Mapping

from remediation_orchestrator.web.health import PATHS

from .bodies import Source

_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_WHY = {
    "400": "The body is malformed; `errors` name each place.",
    "401": "Neither a known bearer token nor a signature.",
    "403": "The token is not for this source, or a page in a browser sent it.",
    "405": "Only POST is understood.",
    "408": "The body did not come in time.",
    "413": "The body is larger than 4 MiB or has over 20,000 items, or what it becomes is larger than 16 MiB.",
    "415": "The content type, charset or encoding is another.",
    "429": "More bodies a second than this sender may send; `Retry-After` says when the next may come. "
    "Alertmanager is told 503.",
    "503": "Not stored, or not known to be: send the same body again after `Retry-After`, it is stored once.",
}
_SCHEMAS = {
    "Stored": {
        "type": "object",
        "required": ["positions"],
        "properties": {
            "positions": {
                "type": "array",
                "items": {"type": "string", "pattern": "^[1-9][0-9]*(-[0-9]+)?$"},
                "description": "Where each item that is not left out stands in the log, in their order.",
            },
            "duplicate": {"type": "boolean", "description": "The body was stored before; nothing was added."},
            "rejected": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Items that are no signals. They are stored too, and rejected in the log by name.",
            },
            "remarks": {
                "type": "array",
                "items": {"type": "string"},
                "description": "What was left out of items that are taken: times that cannot be.",
            },
            "left_out": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Items that are no alerts, such as tests. They are not stored.",
            },
        },
    },
    "Problem": {
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "errors": {"type": "array", "items": {"type": "string"}},
            "errors_total": {"type": "integer"},
        },
    },
}


def document(sources: Mapping[str, Source], *, guarded: bool) -> dict[str, object]:
    """The document of a door with these sources."""
    paths: dict[str, object] = {f"/v1/{name}": {"post": _operation(one)} for name, one in sources.items()}
    paths |= {path: {"get": _page(text)} for path, text in _PAGES.items()}
    said: dict[str, object] = {
        "openapi": "3.1.0",
        "info": {"title": "remediation-orchestrator: the HTTP door", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }
    if guarded:
        said["security"] = [{"bearer": []}]
    return said


_PAGES = {**PATHS, "/openapi.json": "This document."}


def _operation(source: Source) -> dict[str, object]:
    answers: dict[str, object] = {
        "200": {
            "description": "Stored, all of it, once.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Stored"}}},
        }
    }
    answers |= {status: {"description": why, "content": _PROBLEM} for status, why in _WHY.items()}
    return {
        "operationId": f"take_{source.name}",
        "summary": source.title,
        "requestBody": {
            "required": True,
            "content": {media_type: {"schema": {}} for media_type in sorted(source.media_types)},
        },
        "responses": answers,
    }


def _page(text: str) -> dict[str, object]:
    answers: dict[str, object] = {"200": {"description": text}}
    if "503" in text:
        answers["503"] = {"description": "Not ready."}
    return {"summary": text, "responses": answers}
