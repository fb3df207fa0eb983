"""Looks into a stored file that can do no harm: text as text, pictures of points only.

What a file is, its first bytes say, never its name. Nothing is unpacked or run.
"""

from __future__ import annotations

import codecs
from functools import reduce
from operator import or_

from django.db.models import Q
from django.http import Http404, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from mlops.streams import HARMLESS
from registry.models import PackageFile
from registry.storage import StoredBlob, open_blob
from tenants.admin_panels import NOTHING, Panel, badge

TEXT_BYTES = 64 * 1024
IMAGE_BYTES = 5 * 1024**2
HEAD_BYTES = 16
# Endings of files that run code when they are loaded.
PICKLES = (
    *(".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle"),
    *(".pt", ".pth", ".ckpt"),
)
PICKLE = badge("contains pickle", "warning")
HOLDS_PICKLE = reduce(or_, (Q(path__iendswith=ending) for ending in PICKLES))
UNREADABLE = "".join(chr(code) for code in range(32) if chr(code) not in "\t\n\r\f")


def is_pickle(path: str) -> bool:
    return path.lower().endswith(PICKLES)


def pickle_badge(path: str) -> SafeString | str:
    return PICKLE if is_pickle(path) else ""


def image_type(head: bytes) -> str:
    """Tell the kinds of pictures that are points and nothing else; "" for the rest."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return ""


def beginning(file: PackageFile, size_bytes: int) -> bytes:
    blob = StoredBlob(file.sha256, file.size_bytes)
    with open_blob(file.organization_id, blob) as stored:
        head: bytes = stored.read(size_bytes)
    return head


def preview_panel(file: PackageFile, image_address: str) -> Panel:
    """Show the beginning of the file, or why nothing of it is shown."""
    if is_pickle(file.path):
        return Panel("Preview", empty="It may run code when it is loaded: not opened.")
    head = beginning(file, TEXT_BYTES)
    if image_type(head[:HEAD_BYTES]):
        return image_panel(file, image_address)
    text = text_of(head, is_whole=file.size_bytes <= TEXT_BYTES)
    if text is None:
        return Panel("Preview", empty="Neither text nor a picture.")
    note = "" if file.size_bytes <= TEXT_BYTES else f"the first {TEXT_BYTES // 1024} kB"
    html = format_html('<pre class="mp-preview">{}</pre>', text) if text else NOTHING
    return Panel("Preview", html=html, wide=True, note=note)


def image_panel(file: PackageFile, address: str) -> Panel:
    if file.size_bytes > IMAGE_BYTES:
        most = IMAGE_BYTES // 1024**2
        return Panel("Preview", empty=f"A picture of more than {most} MB: not shown.")
    html = format_html('<img class="mp-picture" src="{}" alt="{}">', address, file.path)
    return Panel("Preview", html=html, wide=True)


def text_of(head: bytes, *, is_whole: bool) -> str | None:
    """Decode UTF-8, whose last character may be cut off; None for what is no text."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head, final=is_whole)
    except UnicodeDecodeError:
        return None
    return None if any(mark in text for mark in UNREADABLE) else text


def image_response(file: PackageFile) -> HttpResponse:
    """Deliver a picture as what its bytes are. Raises Http404 for everything else."""
    if file.size_bytes > IMAGE_BYTES or is_pickle(file.path):
        raise Http404
    content = beginning(file, file.size_bytes)
    kind = image_type(content[:HEAD_BYTES])
    if not kind:
        raise Http404
    response = HttpResponse(content, content_type=kind)
    for name, value in HARMLESS.items():
        response[name] = value
    response["Accept-Ranges"] = "none"
    response["Content-Disposition"] = "inline"
    return response
