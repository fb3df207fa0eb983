"""What the description of REST cannot read from the serializers: the export."""

from __future__ import annotations

from typing import Any

from audit.lines import FORMATS

ORGANIZATION = "/api/v1/organizations/{organization}/"
PROJECT = f"{ORGANIZATION}projects/{{project}}/"
ENTRIES = "audit-logs/"
SECURITY: list[dict[str, list[str]]] = [{"token": []}, {"basic": []}]
SUMMARY = (
    "Export the entries that the filters of the list leave, oldest first, however many"
    " they are. One export of an organization runs at a time; its begin and its end,"
    " with the number of rows, are entries themselves. An export that broke off ends"
    " without the last chunk of its transfer encoding."
)
KIND = {
    "in": "query",
    "name": "format",
    "description": "JSON lines with all columns of each entry, or CSV for tables.",
    "schema": {"type": "string", "enum": list(FORMATS), "default": "jsonl"},
}
TEXT = {"schema": {"type": "string", "format": "binary"}}
PAGING = {"limit", "cursor"}


def exports_are_described(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Serve drf-spectacular as a hook: bytes flow past DRF, which does not know it."""
    paths = result["paths"]
    for place, name in ((ORGANIZATION, ""), (PROJECT, "_projects")):
        listing = paths[f"{place}{ENTRIES}"]["get"]
        paths[f"{place}{ENTRIES}export/"] = {"get": export_like(listing, name)}
    return result


def export_like(listing: dict[str, Any], name: str) -> dict[str, Any]:
    """Take the list's filters; there are no pages."""
    kept = [each for each in listing["parameters"] if each["name"] not in PAGING]
    media = {each.media_type.partition(";")[0]: TEXT for each in FORMATS.values()}
    return {
        "operationId": f"organizations{name}_audit_logs_export",
        "description": SUMMARY,
        "tags": listing["tags"],
        "security": SECURITY,
        "parameters": [*kept, KIND],
        "responses": {
            "200": {"description": "The entries.", "content": media},
            "409": {"description": "Another export of the organization runs."},
        },
    }
