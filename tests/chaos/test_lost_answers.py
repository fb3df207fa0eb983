"""Answers that are lost on the way: the client sends again, and nothing is there twice.

MLflow's clients until 3.17 resend whatever they hear no answer to, runs/create too.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest
import requests
from mlflow.tracking import MlflowClient
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from tests.chaos.cutting import cutting
from tests.e2e.clients import LAST_2, Server, run_program
from tests.e2e.running import Platform, Tenant

pytestmark = pytest.mark.e2e

API = "/api/2.0/mlflow/"
# As those clients do: any method, after a line that broke, at once.
RESEND = Retry(total=3, allowed_methods=None, backoff_factor=0)


def client_of(tenant: Tenant, address: str) -> requests.Session:
    session = requests.Session()
    session.mount(address, HTTPAdapter(max_retries=RESEND))
    session.headers["authorization"] = f"Bearer {tenant.token}"
    return session


def assert_each_is_there_once(client: MlflowClient, experiment: str, count: int):
    runs = client.search_runs([experiment], max_results=count + 100)
    assert Counter(run.info.run_name for run in runs) == {
        f"run {number}": 1 for number in range(count)
    }
    for run in runs:
        number = int(run.data.params["number"])
        history = client.get_metric_history(run.info.run_id, "loss")
        assert [(point.step, point.value) for point in history] == [
            (step, number / (step + 1)) for step in range(3)
        ]


def test_what_is_sent_again_after_a_lost_answer_is_there_once(platform: Platform):
    """The posts of thirty runs; two answers of seven are never heard."""
    tenant = platform.make_tenant()
    with cutting(platform.port) as relay:
        session = client_of(tenant, relay.address)

        def post(path: str, **body) -> dict:
            answer = session.post(relay.address + API + path, json=body)
            assert answer.status_code == 200, answer.text
            return answer.json()

        for number in range(30):
            start = int(time.time() * 1000)
            made = post(
                "runs/create",
                experiment_id="0",
                start_time=start,
                run_name=f"run {number}",
            )
            run = made["run"]["info"]["run_id"]
            post("runs/log-parameter", run_id=run, key="number", value=str(number))
            for step in range(3):
                point = {"value": number / (step + 1), "step": step, "timestamp": start}
                post("runs/log-metric", run_id=run, key="loss", **point)
            post("runs/update", run_id=run, status="FINISHED", end_time=start + 1)
    lost = Counter(path.rpartition("/")[2] for _, path, _ in relay.lost)
    assert sum(lost.values()) >= 60
    assert set(lost) == {"create", "log-parameter", "log-metric", "update"}
    assert {status for _, _, status in relay.lost} == {200}
    with tenant.client() as client:
        assert_each_is_there_once(client, "0", 30)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_thousand_lost_answers_leave_no_ghost_of_a_real_client(
    platform: Platform, tmp_path: Path
):
    tenant, count = platform.make_tenant(), 400
    with cutting(platform.port) as relay:
        server = Server(relay.address, tenant.token)
        run_program(LAST_2, "lost_answers", server, tmp_path)
    print(f"{len(relay.lost)} answers were lost")
    assert len(relay.lost) >= 1000
    with tenant.client() as client:
        found = client.get_experiment_by_name("lost answers")
        assert found
        assert_each_is_there_once(client, found.experiment_id, count)
