"""What MLflow's web UI asks on every page, beside experiments and runs."""

from __future__ import annotations

import pytest

from tests.mounts import Mount, every_mount


def test_the_current_user_is_who_asks(reader, cast):
    answer = reader.read("users/current")
    user = {"id": str(cast.bob.pk), "username": "bob", "is_admin": False}
    assert answer == {"user": user, "is_basic_auth": False}


def test_telemetry_of_the_ui_is_off(fraud):
    assert fraud.read("ui-telemetry") == {
        "disable_ui_telemetry": True,
        "disable_ui_events": [],
        "ui_rollout_percentage": 0,
    }
    assert fraud.ok("ui-telemetry", records=[{}]) == {"status": "disabled"}


def test_there_is_no_gateway(fraud):
    query = {"gateway_path": "api/2.0/endpoints/"}
    assert fraud.read("gateway-proxy", **query) == {"endpoints": []}
    path = "gateway/x/invocations"
    assert fraud.ok("gateway-proxy", gateway_path=path) == {"endpoints": []}


@every_mount
@pytest.mark.parametrize("path", ["users/current", "ui-telemetry", "gateway-proxy"])
def test_the_ui_gets_its_answers_at_every_mount(alice_in_fraud, mount: Mount, path):
    answer = alice_in_fraud.get(mount.url(path), headers=mount.headers)
    assert answer.status_code == 200
