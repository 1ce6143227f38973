"""Serves asyncapi.yaml and a page made from it, with nothing from anywhere else."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "protocol" / "asyncapi.yaml"


@require_safe
def document(request: HttpRequest) -> HttpResponse:
    """The AsyncAPI document as it is."""
    return HttpResponse(DOCUMENT.read_bytes(), content_type="application/yaml")


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Every message with its members and examples."""
    return render(request, "mdds_site/stream_docs.html", _contents())


@cache
def _contents() -> dict[str, object]:
    found = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))
    messages, schemas = found["components"]["messages"], found["components"]["schemas"]
    sides = [
        {
            "title": found["operations"][name]["title"],
            "messages": [
                _message(_last(one), messages[_last(one)], schemas) for one in found["operations"][name]["messages"]
            ],
        }
        for name in ("send", "hear")
    ]
    return {"info": found["info"], "channel": found["channels"]["stream"], "sides": sides}


def _message(name: str, message: dict[str, Any], schemas: dict[str, Any]) -> dict[str, object]:
    payload = message["payload"]
    required = payload.get("required", ())
    members = [
        {
            "name": member,
            "kind": _kind(schema, schemas),
            "required": member in required,
            "about": _about(schema, schemas),
        }
        for member, schema in payload.get("properties", {}).items()
    ]
    shown = [json.dumps(one["payload"], ensure_ascii=False) for one in message["examples"]]
    return {"name": name, "summary": message["summary"], "members": members, "examples": shown}


def _last(reference: dict[str, str]) -> str:
    return reference["$ref"].rpartition("/")[2]


def _resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schemas[_last(schema)] if "$ref" in schema else schema
    return found


def _kind(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    """`one of 1, 3, 5`, `"sub"`, `integer or null`."""
    schema = _resolved(schema, schemas)
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return "one of " + ", ".join(str(one) for one in schema["enum"])
    kinds = schema.get("type", "any")
    return kinds if isinstance(kinds, str) else " or ".join(kinds)


def _about(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    return str(_resolved(schema, schemas).get("description", ""))
