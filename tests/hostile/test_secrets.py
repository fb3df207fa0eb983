"""What is stored of secrets leaves by no door (I6): digests, keys, texts of tokens."""

from __future__ import annotations

import pytest
from django.apps import apps

from audit.captured import CAPTURED, Rows
from conftest import client_of
from tenants.models import ApiToken
from tenants.tests.factories import make_api_token
from tenants.tests.superuser import superuser
from tests.routes import routes
from tests.strangers import populate


def redacted() -> dict[str, list[str]]:
    """Return the columns that the trail leaves out, by the model's label."""
    return {
        label: list(rows.redact)
        for label, rows in CAPTURED.items()
        if isinstance(rows, Rows) and rows.redact
    }


@pytest.fixture
def secrets(cast) -> list[bytes]:
    """Plant a secret in every redacted column, and say how each could be written."""
    populate(cast.fraud, cast.alice)
    token = make_api_token(cast.alice, cast.acme)
    found = [token.text.encode(), token.text[-49:].encode()]
    for label, columns in redacted().items():
        model = apps.get_model(label)
        for column in columns:
            field = model._meta.get_field(column)
            for row in model._base_manager.all()[:20]:
                value = getattr(row, field.attname)
                found += spellings(value)
    return [each for each in found if len(each) >= 8]


def spellings(value: object) -> list[bytes]:
    if isinstance(value, bytes | memoryview):
        value = bytes(value)
        return [value.hex().encode(), repr(value)[2:-1].encode()]
    return [str(value).encode()] if value else []


def test_secrets_are_planted(secrets, db):
    labels = set(redacted())
    assert {"tenants.ApiToken", "tenants.User"} <= labels
    assert len(secrets) > 3


def test_no_route_shows_a_secret(cast, secrets):
    clients = [client_of(make_api_token(cast.alice, cast.acme).text)]
    place = {"organization": "acme", "project": "fraud"}
    read = 0
    for route in routes():
        if route.is_admin or route.is_public or set(route.parameters) - set(place):
            continue
        for client in clients:
            response = client.get(route.address(place))
            read += response.status_code == 200
            body = response.getvalue()
            assert not [each for each in secrets if each in body], route
    assert read > 15


def test_no_page_of_the_admin_shows_a_secret(cast, secrets):
    staff = superuser()
    shown = 0
    for label in (*redacted(), "audit.AuditLog", "tenants.Organization"):
        model = apps.get_model(label)
        base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        keys = list(model._base_manager.values_list("pk", flat=True)[:20])
        for address in [base, *(f"{base}{key}/change/" for key in keys)]:
            response = staff.get(address)
            if response.status_code == 200:
                shown += 1
                page = response.getvalue()
                assert not [each for each in secrets if each in page], address
    assert shown > 5


def test_the_trail_of_a_secret_holds_its_fingerprint_only(alice, cast, secrets):
    made = alice.post(
        "/api/v1/organizations/acme/tokens/",
        {"name": "new", "days": 1},
        content_type="application/json",
    )
    text = made.json()["token"]
    assert text.startswith("mlp_u_")
    digest = bytes(ApiToken._base_manager.get(name="new").digest)
    trail = alice.get("/api/v1/organizations/acme/audit-logs/").getvalue()
    assert b'"redacted":true' in trail.replace(b" ", b"")
    for each in (text.encode(), text[-49:].encode(), digest.hex().encode()):
        assert each not in trail
    again = alice.get("/api/v1/organizations/acme/tokens/").getvalue()
    assert text.encode() not in again
    assert digest.hex().encode() not in again
