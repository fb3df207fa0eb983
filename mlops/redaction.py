"""Keeps tokens out of the log, whoever writes it and wherever it goes.

A record is masked when it is made, so that every handler gets the masked one: ours,
those that Django and the server bring along and those that an installation adds.
"""

from __future__ import annotations

import logging
import logging.config
import re
import traceback
from typing import Any

# The public half stays: it says which token somebody has to revoke. Underscores may
# have been written as %5F in an address.
SEPARATOR = r"(?:_|%5[fF])"
TOKEN = re.compile(
    rf"(mlp{SEPARATOR}[usj]{SEPARATOR}[0-9A-Za-z]{{12}}){SEPARATOR}[0-9A-Za-z]+"
)
# The secret in the address of an invitation.
INVITATION = re.compile(rf"\bmli{SEPARATOR}[0-9A-Za-z_%-]{{20,}}")
# A header as a whole, because Basic hides the token in base64.
HEADER = re.compile(r"\b(Bearer|Basic)\s+[0-9A-Za-z+/=_.~-]{8,}", re.IGNORECASE)


def masked(text: str) -> str:
    text = INVITATION.sub("mli_…", TOKEN.sub(r"\1_…", text))
    return HEADER.sub(r"\1 …", text)


def configure(config: dict[str, Any]) -> None:
    """Serve as Django's LOGGING_CONFIG: its dictionary, and records that are masked."""
    logging.setLogRecordFactory(masked_record)
    logging.config.dictConfig(config)


def masked_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    record = logging.LogRecord(*args, **kwargs)
    _mask_message(record)
    if record.exc_info and record.exc_info[0] is not None:
        # Formatters take the text that is there already instead of making their own.
        record.exc_text = masked("".join(traceback.format_exception(*record.exc_info)))
        record.exc_text = record.exc_text.removesuffix("\n")
    if record.stack_info:
        record.stack_info = masked(record.stack_info)
    return record


def _mask_message(record: logging.LogRecord) -> None:
    """Write the arguments into the message if there is something to hide.

    Or if they do not fit it: logging itself would print them as they are.
    """
    try:
        message = record.getMessage()
        hidden = masked(message)
    except Exception:
        message, hidden = "", masked(f"{record.msg!r} of {record.args!r}")
    if hidden != message:
        record.msg, record.args = hidden, ()
