"""JSON on the admin's read-only pages, as plain text that our style sheet sets.

unfold colours it by inline styles wherever pygments happens to be installed, and our
content security policy forbids those; so its function is replaced by this one.
"""

from __future__ import annotations

import json
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold import fields


def plain_json(content: Any, encoder: Any) -> SafeString:
    text = json.dumps(
        content, indent=4, sort_keys=True, ensure_ascii=False, cls=encoder
    )
    return format_html('<pre class="mp-code mp-break">{}</pre>', text)


def replace_unfolds() -> None:
    fields.prettify_json = plain_json
