"""What the description of REST cannot read from the serializers."""

from __future__ import annotations

from typing import Any

from registry.api.expanding import EXPANSIONS
from registry.services.pushes import PUSHED_STATUSES, PUSHED_TYPES

EXPANDED = ("Run", "LoggedModel")
PACKAGES = "/api/v1/organizations/{organization}/projects/{project}/packages/"
SECURITY: list[dict[str, list[str]]] = [{"token": []}, {"basic": []}]
BYTES = {"type": "string", "format": "binary"}
SHA256 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}


def expansions_are_optional(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Serve drf-spectacular as a hook: `expand` may leave any of them out of a row."""
    for name in EXPANDED:
        schema = result["components"]["schemas"][name]
        schema["required"] = [
            field for field in schema["required"] if field not in EXPANSIONS
        ]
    return result


def streams_are_described(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Serve drf-spectacular as a hook: bytes flow past DRF, which does not know it."""
    result["paths"] |= {
        f"{PACKAGES}{{name}}/{{version}}/{{path}}": {
            "get": DOWNLOAD,
            "put": UPLOAD,
            "delete": REMOVAL,
        },
        f"{PACKAGES}{{id}}/archive/": {"get": ARCHIVE},
    }
    return result


def _within(place: str, name: str, description: str, **schema: Any) -> dict[str, Any]:
    return {
        "in": place,
        "name": name,
        "required": place == "path",
        "description": description,
        "schema": {"type": "string", **schema},
    }


def _operation(
    name: str, summary: str, parameters: list[dict[str, Any]], **more: Any
) -> dict[str, Any]:
    place = [
        _within("path", "organization", "Its slug."),
        _within("path", "project", "Its slug."),
    ]
    return {
        "operationId": f"organizations_projects_packages_{name}",
        "description": summary,
        "tags": ["organizations"],
        "security": SECURITY,
        "parameters": [*place, *parameters],
        **more,
    }


def _bytes(media_type: str, description: str) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": BYTES}}}


def _answer(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": {"schema": PUSHED}},
    }


PUSHED = {
    "type": "object",
    "required": ["path", "size_bytes", "sha256", "package"],
    "properties": {
        "path": {"type": "string"},
        "size_bytes": {"type": "integer"},
        "sha256": SHA256,
        "package": {"type": "object"},
    },
}
FILE = [
    _within("path", "name", "Of the package."),
    _within("path", "version", "Of the package."),
    _within("path", "path", "Of the file, with its folders.", minLength=1),
]
DOWNLOAD = _operation(
    "file_retrieve",
    "Download a file; ranges and If-None-Match are honoured.",
    [*FILE, _within("header", "Range", "A part of it, as in bytes=0-1023.")],
    responses={
        "200": _bytes("*/*", "The file."),
        "206": _bytes("*/*", "The part of it that was asked for."),
        "304": {"description": "It is what If-None-Match says."},
    },
)
UPLOAD = _operation(
    "file_update",
    "Upload a file; the first one of a package makes it.",
    [
        *FILE,
        _within("query", "type", "Of a new package.", enum=list(PUSHED_TYPES)),
        _within("query", "status", "Of the package.", enum=list(PUSHED_STATUSES)),
        _within("query", "sha256", "Refuse other bytes.", pattern=SHA256["pattern"]),
        _within("header", "If-Match", "Replace only this file, by its ETag."),
        _within("header", "If-None-Match", "With *: replace no file."),
    ],
    requestBody={"content": {"application/octet-stream": {"schema": BYTES}}},
    responses={"200": _answer("Replaced."), "201": _answer("Stored.")},
)
REMOVAL = _operation(
    "file_destroy", "Delete a file.", FILE, responses={"204": {"description": "Gone."}}
)
ARCHIVE = _operation(
    "archive_retrieve",
    "Download all files of a package, or of one folder, as a zip.",
    [
        _within("path", "id", "Of the package.", format="uuid"),
        _within("query", "folder", "Only what lies in this folder."),
    ],
    responses={
        "200": _bytes("application/zip", "The archive."),
        "304": {"description": "It is what If-None-Match says."},
    },
)
