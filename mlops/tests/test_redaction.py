from __future__ import annotations

import io
import logging
from urllib.parse import quote

import pytest
from django.conf import settings

from mlops.redaction import masked
from tenants.authentication import make_token

SECRET = slice(19, None)


@pytest.fixture
def token():
    return make_token("u")


@pytest.fixture
def heard():
    """A logger with a handler of somebody else's, and what that has written."""
    output = io.StringIO()
    handler = logging.StreamHandler(output)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger = logging.getLogger("somebody.else")
    logger.addHandler(handler)
    logger.propagate = False
    yield logger, output
    logger.propagate = True
    logger.removeHandler(handler)


def fail(text: str) -> None:
    raise ValueError(f"bad {text}")


def test_every_way_into_a_line_is_masked(heard, token):
    logger, output = heard
    logger.error("message %s", token.text)
    logger.error(f"whole {token.text}")
    logger.error({"in an object": token.text})
    logger.error("%(named)s", {"named": token.text})
    logger.error("stack", stack_info=True, extra={"x": token.text})
    try:
        fail(token.text)
    except ValueError:
        logger.exception("failed")
    text = output.getvalue()
    assert token.text[SECRET] not in text
    assert text.count(f"mlp_u_{token.public_id}_…") == 5
    assert "ValueError: bad mlp_u_" in text


@pytest.mark.parametrize("kind", ["u", "s", "j"])
def test_what_a_client_may_send_is_masked(kind):
    token = make_token(kind)
    for text in (
        f"/api?access_token={token.text}&x=1",
        f"/api/{token.text}/runs",
        quote(token.text).replace("_", "%5F"),
        f"{{'HTTP_AUTHORIZATION': 'Bearer {token.text}'}}",
        token.text + "tail",
        token.text[:-3],
    ):
        hidden = masked(text)
        assert token.text[19:40] not in hidden
        assert token.public_id in hidden or "Bearer" in hidden


def test_a_header_of_basic_is_masked_as_a_whole():
    assert masked("Authorization: Basic dG9rZW46bWxwX3U=") == "Authorization: Basic …"
    assert masked("a basic idea") == "a basic idea"


def test_other_lines_stay_as_they_were(heard):
    logger, output = heard
    record = logger.makeRecord(
        "n", logging.ERROR, "f", 1, "%s of %d", ("a", 2), exc_info=None
    )
    assert (record.msg, record.args) == ("%s of %d", ("a", 2))
    logger.error("%s of %d", "a", 2)
    assert output.getvalue() == "ERROR a of 2\n"


def test_a_call_whose_arguments_do_not_fit_is_masked_too(heard, token, capfd):
    logger, output = heard
    logger.error("%d", token.text)
    assert output.getvalue() == f"ERROR '%d' of ('mlp_u_{token.public_id}_…',)\n"
    assert capfd.readouterr().err == ""


def test_the_settings_mask_what_is_logged():
    assert settings.LOGGING_CONFIG == "mlops.redaction.configure"
    assert logging.getLogRecordFactory().__name__ == "masked_record"
