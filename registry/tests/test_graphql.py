"""GraphQL: the queries of MLflow's web UI, their limits, and who may ask."""

from __future__ import annotations

import json

import pytest

from registry.models import Run
from registry.tests.factories import ModelVersionFactory, RegisteredModelFactory
from registry.tests.protocol import (
    Tracking,
    error,
    invalid,
    missing,
    mistyped,
    statements,
    tracking_as,
)
from tenants.tests.factories import MembershipFactory, UserFactory
from tests.mounts import Mount, every_mount

GET_RUN = """
query GetRun($data: MlflowGetRunInput!) @component(name: "MLflow.ExperimentRun") {
  mlflowGetRun(input: $data) {
    apiError { helpUrl code message __typename }
    run {
      info { runName status runUuid runId experimentId artifactUri endTime
             lifecycleStage startTime userId __typename }
      experiment { experimentId name tags { key value } artifactLocation
                   lifecycleStage lastUpdateTime creationTime workspace
                   effectiveTraceArchivalRetention }
      modelVersions { status version name source runId creationTimestamp aliases
                      tags { key value } modelId modelParams { name }
                      deploymentJobState { jobId jobState } }
      data { metrics { key value step timestamp modelId } params { key value }
             tags { key value } }
      inputs { datasetInputs { dataset { digest name profile schema source sourceType }
                               tags { key value } } modelInputs { modelId } }
      outputs { modelOutputs { modelId step } }
    }
  }
}
"""
SEARCH_RUNS = """
query SearchRuns($data: MlflowSearchRunsInput!) {
  mlflowSearchRuns(input: $data) {
    apiError { code }
    nextPageToken
    runs {
      info { runId runName }
      experiment { name tags { key value } }
      modelVersions { name version }
    }
  }
}
"""
GET_EXPERIMENT = """
query Experiment($input: MlflowGetExperimentInput!) @component(name: "x") {
  mlflowGetExperiment(input: $input) {
    apiError { code message }
    experiment { artifactLocation creationTime effectiveTraceArchivalRetention
                 experimentId lastUpdateTime lifecycleStage name tags { key value } }
  }
}
"""
INTERVAL = """
query GetMetricHistoryBulkInterval($data: MlflowGetMetricHistoryBulkIntervalInput!) {
  mlflowGetMetricHistoryBulkInterval(input: $data) {
    apiError { code message }
    metrics { timestamp step runId key value }
  }
}
"""
FILES = """
query($data: MlflowListArtifactsInput!) {
  mlflowListArtifacts(input: $data) {
    rootUri nextPageToken files { path isDir fileSize }
  }
}
"""
ECHO = 'test(inputString: "abc") { output }'
CONTEXT = "mlflow.data.context"


class Questions:
    """Asks GraphQL beside the protocol of one client."""

    def __init__(self, tracking: Tracking) -> None:
        self.tracking = Tracking(tracking.client, "/")

    def post(self, query, operation=None, /, **variables):
        body = {"query": query, "variables": variables, "operationName": operation}
        return self.tracking.post("graphql", **body)

    def ask(self, query, operation=None, /, **variables):
        """Return the one root field of a query that has no errors."""
        answer = self.tracking.ok(
            "graphql", query=query, variables=variables, operationName=operation
        )
        assert answer["errors"] is None
        (found,) = answer["data"].values()
        return found

    def refused(self, query, operation=None, /, **variables):
        """Return the errors of a query that brought nothing."""
        answer = json.loads(self.post(query, operation, **variables).content)
        assert set(answer) == {"data", "errors"}
        assert not any((answer["data"] or {}).values())
        return answer["errors"]


@pytest.fixture
def asked(fraud) -> Questions:
    return Questions(fraud)


def log(tracking, run, key, value, timestamp=5, step=2):
    point = {"key": key, "value": value, "timestamp": timestamp, "step": step}
    tracking.ok("runs/log-batch", run_id=run, metrics=[point])


def register(run_id, name="scorer", **more):
    """Store a version of a model that the run brought forth, and return the model."""
    run = Run._base_manager.get(pk=run_id)
    model = RegisteredModelFactory(project=run.project, name=name)
    ModelVersionFactory(registered_model=model, run=run, version=1, **more)
    return model


# The queries of the UI


def test_a_run_comes_with_all_that_its_page_shows(fraud, asked):
    trees = fraud.experiment("trees", tags=[{"key": "et", "value": "ev"}])
    run = fraud.run(trees, run_name="night", start_time=7, user_id="alice")
    log(fraud, run, "loss", 0.25)
    fraud.ok("runs/log-parameter", run_id=run, key="depth", value="3")
    data = {"name": "d", "digest": "x", "source_type": "local", "source": "s"}
    tag = {"key": CONTEXT, "value": "train"}
    fraud.ok("runs/log-inputs", run_id=run, datasets=[{"dataset": data, "tags": [tag]}])
    register(run, source="runs:/r/m")
    found = asked.ask(GET_RUN, "GetRun", data={"runId": run})
    assert found["apiError"] is None
    found = found["run"]
    assert found["info"] == {
        "runName": "night",
        "status": "RUNNING",
        "runUuid": run,
        "runId": run,
        "experimentId": trees,
        "artifactUri": f"mlflow-artifacts:/{trees}/{run}/artifacts",
        "endTime": "0",
        "lifecycleStage": "active",
        "startTime": "7",
        "userId": "alice",
        "__typename": "MlflowRunInfo",
    }
    stored = fraud.read("experiments/get", experiment_id=trees)["experiment"]
    assert found["experiment"] == {
        "experimentId": trees,
        "name": "trees",
        "tags": [{"key": "et", "value": "ev"}],
        "artifactLocation": stored["artifact_location"],
        "lifecycleStage": "active",
        "lastUpdateTime": str(stored["last_update_time"]),
        "creationTime": str(stored["creation_time"]),
        "workspace": "",
        "effectiveTraceArchivalRetention": "",
    }
    (version,) = found["modelVersions"]
    assert version.pop("creationTimestamp").isdigit()
    assert version == {
        "status": "READY",
        "version": "1",
        "name": "scorer",
        "source": "runs:/r/m",
        "runId": run,
        "aliases": [],
        "tags": [],
        "modelId": "",
        "modelParams": [],
        "deploymentJobState": {"jobId": "", "jobState": None},
    }
    assert found["data"] == {
        "metrics": [
            {"key": "loss", "value": 0.25, "step": "2", "timestamp": "5", "modelId": ""}
        ],
        "params": [{"key": "depth", "value": "3"}],
        "tags": [{"key": "mlflow.runName", "value": "night"}],
    }
    described = {"digest": "x", "name": "d", "source": "s", "sourceType": "local"}
    assert found["inputs"] == {
        "datasetInputs": [
            {"dataset": described | {"profile": "", "schema": ""}, "tags": [tag]}
        ],
        "modelInputs": [],
    }
    assert found["outputs"] == {"modelOutputs": []}


def test_numbers_that_json_lacks_are_null_or_the_largest(fraud, asked):
    run = fraud.run()
    for key, value in (("nan", "NaN"), ("inf", "Infinity"), ("-inf", "-Infinity")):
        log(fraud, run, key, value)
    metrics = asked.ask(GET_RUN, data={"runId": run})["run"]["data"]["metrics"]
    found = {metric["key"]: metric["value"] for metric in metrics}
    largest = 1.7976931348623157e308
    assert found == {"nan": None, "inf": largest, "-inf": -largest}
    sampled = asked.ask(INTERVAL, data={"runIds": [run], "metricKey": "nan"})
    assert [metric["value"] for metric in sampled["metrics"]] == [None]


def test_integers_of_64_bits_are_texts(fraud, asked):
    run = fraud.run(start_time=2**62 + 1)
    log(fraud, run, "loss", 1, timestamp=2**62 + 3, step=-(2**62) - 5)
    found = asked.ask(GET_RUN, data={"runId": run})["run"]
    assert found["info"]["startTime"] == str(2**62 + 1)
    (metric,) = found["data"]["metrics"]
    assert metric["timestamp"], metric["step"] == (str(2**62 + 3), str(-(2**62) - 5))


def test_a_run_is_found_by_both_of_its_names(fraud, asked):
    run = fraud.run()
    query = '{mlflowGetRun(input: {%s: "%s"}) {run {info {runId}}}}'
    for name in ("runId", "runUuid"):
        assert asked.ask(query % (name, run))["run"]["info"]["runId"] == run


def test_an_experiment_comes_as_by_the_protocol(fraud, asked):
    trees = fraud.experiment("trees")
    found = asked.ask(GET_EXPERIMENT, input={"experimentId": trees})
    assert found["apiError"] is None
    assert found["experiment"]["name"] == "trees"
    assert found["experiment"]["creationTime"].isdigit()
    fraud.ok("experiments/delete", experiment_id=trees)
    found = asked.ask(GET_EXPERIMENT, input={"experimentId": trees})
    assert found["experiment"]["lifecycleStage"] == "deleted"


def test_runs_are_searched_page_by_page(fraud, asked):
    trees = fraud.experiment("trees")
    runs = [fraud.run(trees, run_name=f"r{i}", start_time=i) for i in range(3)]
    fraud.ok("runs/delete", run_id=runs[1])
    asking = {"experimentIds": [trees], "maxResults": 1, "runViewType": "ALL"}
    names, token = [], ""
    for _ in runs:
        page = asked.ask(SEARCH_RUNS, data={**asking, "pageToken": token})
        names += [run["info"]["runName"] for run in page["runs"]]
        token = page["nextPageToken"]
    assert (names, token) == (["r2", "r1", "r0"], "")
    alive = asked.ask(SEARCH_RUNS, data={"experimentIds": [trees]})["runs"]
    assert [run["info"]["runName"] for run in alive] == ["r2", "r0"]
    assert asked.ask(SEARCH_RUNS, data={})["runs"] == []


def test_runs_of_a_page_each_have_their_experiment_and_versions(fraud, asked):
    expected = {}
    for name in ("trees", "woods"):
        experiment = fraud.experiment(name)
        for number in range(2):
            run = fraud.run(experiment)
            register(run, name=f"{name} {number}")
            expected[run] = (name, [{"name": f"{name} {number}", "version": "1"}])
    bare = fraud.run()
    expected[bare] = ("Default", [])
    ids = ["0", "1", "2"]
    found = asked.ask(SEARCH_RUNS, data={"experimentIds": ids})["runs"]
    assert expected == {
        run["info"]["runId"]: (run["experiment"]["name"], run["modelVersions"])
        for run in found
    }


def test_a_sample_of_metrics_comes_as_by_the_protocol(fraud, asked):
    run = fraud.run()
    for step in range(5):
        log(fraud, run, "loss", step, step=step)
    asking = {"runIds": [run, "nope"], "metricKey": "loss", "maxResults": 3}
    found = asked.ask(INTERVAL, data={**asking, "startStep": 1, "endStep": 4})
    assert found["apiError"] is None
    assert [metric["step"] for metric in found["metrics"]] == ["1", "3", "4"]
    assert found["metrics"][0] == {
        "timestamp": "5",
        "step": "1",
        "runId": run,
        "key": "loss",
        "value": 1.0,
    }


def test_artifacts_are_listed(fraud, asked):
    run = fraud.run()
    assert asked.ask(FILES, data={"runId": run}) == {
        "rootUri": f"mlflow-artifacts:/0/{run}/artifacts",
        "nextPageToken": "",
        "files": [],
    }


def test_datasets_are_searched_by_a_mutation(fraud, asked):
    data = {"name": "d", "digest": "x", "source_type": "t", "source": "s"}
    fraud.ok("runs/log-inputs", run_id=fraud.run(), datasets=[{"dataset": data}])
    query = """mutation($input: MlflowSearchDatasetsInput!)
               {mlflowSearchDatasets(input: $input)
               {datasetSummaries {experimentId name digest context}}}"""
    summary = {"experimentId": "0", "name": "d", "digest": "x", "context": ""}
    found = asked.ask(query, input={"experimentIds": ["0"]})
    assert found == {"datasetSummaries": [summary]}


def test_model_versions_are_searched(fraud, asked):
    run = fraud.run()
    register(run)
    register(fraud.run(), name="other")
    query = """query($input: MlflowSearchModelVersionsInput!)
               {mlflowSearchModelVersions(input: $input)
               {nextPageToken modelVersions {name version}}}"""
    asking = {"filter": f"run_id = '{run}'", "maxResults": "10"}
    found = asked.ask(query, input=asking)
    assert found["modelVersions"] == [{"name": "scorer", "version": "1"}]
    refused = asked.refused(query, input={"maxResults": "ten"})
    assert "LongString cannot represent what is no integer" in refused[0]


def test_the_test_field_echoes(asked):
    query = f"query testQuery {{{ECHO}}}"
    assert asked.ask(query, "testQuery") == {"output": "abc"}


def test_each_of_several_operations_can_be_named(asked):
    query = 'query a {test(inputString: "1") {output}} query b {__typename}'
    assert asked.ask(query, "b") == "Query"
    assert asked.refused(query) == [
        "Must provide operation name if query contains multiple operations."
    ]


# Errors are texts, and the status is 200


@pytest.mark.parametrize(
    "query,variables,expected",
    [
        (GET_RUN, {"data": {"runId": "nope"}}, "Run with id=nope not found"),
        (
            GET_EXPERIMENT,
            {"input": {"experimentId": "987654321"}},
            "No Experiment with id=987654321 exists",
        ),
        (
            GET_EXPERIMENT,
            {"input": {"experimentId": "abc"}},
            "Invalid experiment ID 'abc'. Experiment ID must be a valid integer.",
        ),
        (
            SEARCH_RUNS,
            {"data": {"experimentIds": ["0"], "maxResults": 0}},
            (
                "Invalid value 0 for parameter 'max_results' supplied. "
                "It must be a positive integer"
            ),
        ),
        (
            INTERVAL,
            {"data": {"runIds": ["x"], "metricKey": "m", "startStep": 3}},
            "If either start step or end step are specified, both must be specified.",
        ),
        ("{nope}", {}, "Cannot query field 'nope' on type 'Query'."),
        ("{nope", {}, "Syntax Error: Expected Name, found <EOF>."),
        (
            GET_RUN,
            {},
            "Variable '$data' of required type 'MlflowGetRunInput!' was not provided.",
        ),
        (
            "subscription {x}",
            {},
            "Schema is not configured to execute subscription operation.",
        ),
    ],
)
def test_an_error_is_a_text(asked, query, variables, expected):
    assert asked.refused(query, **variables) == [expected]


def test_one_field_may_fail_and_another_answer(fraud, asked):
    run = fraud.run()
    field = "{run {info {runId}}}"
    query = '{a: mlflowGetRun(input: {runId: "%s"}) %s b: mlflowGetRun(input: {}) %s}'
    answer = json.loads(asked.post(query % (run, field, field)).content)
    assert answer["data"] == {"a": {"run": {"info": {"runId": run}}}, "b": None}
    assert len(answer["errors"]) == 1


# Who sees what


def test_types_are_shown_to_staff_alone(asked, cast, stranger):
    query = '{__schema {queryType {name}} __type(name: "Test") {name}}'
    for text in asked.refused(query):
        assert text.startswith("GraphQL introspection has been disabled")
    staff = UserFactory(username="staff", is_staff=True)
    MembershipFactory(organization=cast.acme, user=staff, role="owner")
    stranger.force_login(staff)
    answer = stranger.post(
        "/mlflow/acme/fraud/graphql",
        {"query": query},
        "application/json",
        headers={"origin": "http://testserver"},
    )
    assert answer.json()["data"]["__type"] == {"name": "Test"}
    assert asked.ask("{__typename}") == "Query"


# What is no query


@pytest.mark.parametrize(
    "body,expected",
    [
        (b"[]", invalid("The request body must be a JSON object.")),
        (
            b'[{"query": "{__typename}"}]',
            invalid("The request body must be a JSON object."),
        ),
        (b"{}", missing("query")),
        (b'{"query": ""}', missing("query")),
        (b'{"query": 5}', mistyped("5", "query", "int")),
        (
            b'{"query": "{__typename}", "variables": [1]}',
            mistyped("[1]", "variables", "list"),
        ),
        (
            b'{"query": "{__typename}", "operationName": 1}',
            mistyped("1", "operationName", "int"),
        ),
    ],
)
def test_what_is_no_query_is_refused(fraud, body, expected):
    assert error(Questions(fraud).tracking.send("graphql", body)) == expected


def test_a_form_is_no_query(fraud):
    answer = Questions(fraud).tracking.send(
        "graphql", b'{"query": "{__typename}"}', content_type="text/plain"
    )
    assert error(answer)[:2] == (400, "INVALID_PARAMETER_VALUE")


def test_a_query_is_posted(fraud):
    answer = Questions(fraud).tracking.get("graphql", query="{__typename}")
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"


# Statements


def test_the_page_of_a_run_takes_as_many_statements_for_any_run(fraud, asked):
    """Savepoint; admission; run; experiment, tags; versions, tags, aliases; release."""
    counts = set()
    for number in range(1, 4):
        run = fraud.run(fraud.experiment(f"e{number}", tags=[{"key": "k"}]))
        for version in range(number):
            register(run, name=f"{number} {version}")
        counts.add(statements(asked.post(GET_RUN, data={"runId": run})))
    assert counts == {9}


def test_a_page_of_runs_takes_as_many_statements_for_any_number(fraud, asked):
    counts = set()
    runs = 0
    for more in (1, 4, 15):
        for number in range(runs, runs + more):
            experiment = fraud.experiment(f"e{number}", tags=[{"key": "k"}])
            register(fraud.run(experiment), name=f"m{number}")
        runs += more
        ids = [str(number) for number in range(runs + 1)]
        answer = asked.post(SEARCH_RUNS, data={"experimentIds": ids})
        found = json.loads(answer.content)["data"]["mlflowSearchRuns"]["runs"]
        assert len(found) == runs
        counts.add(statements(answer))
    assert counts == {9}


# Who may ask


def test_what_belongs_to_others_is_absent(fraud, churn, stranger_in_fraud):
    trees = fraud.experiment("trees")
    run = fraud.run(trees)
    register(run)
    log(fraud, run, "loss", 1)
    field = "{run {info {runId}}}"
    hidden = [
        (GET_RUN, {"data": {"runId": "%s"}}, run, "0" * 32),
        (GET_EXPERIMENT, {"input": {"experimentId": "%s"}}, trees, "9876"),
        (SEARCH_RUNS, {"data": {"experimentIds": ["%s"]}}, trees, "9876"),
        (INTERVAL, {"data": {"runIds": ["%s"], "metricKey": "loss"}}, run, "0" * 32),
        (f'{{a: mlflowGetRun(input: {{runId: "%s"}}) {field}}}', {}, run, "0" * 32),
        (
            '{mlflowListArtifacts(input: {runId: "%s"}) {rootUri}}',
            {},
            run,
            "0" * 32,
        ),
        (
            (
                "{mlflowSearchModelVersions(input: {filter: \"run_id='%s'\"})"
                "{modelVersions{name}}}"
            ),
            {},
            run,
            "0" * 32,
        ),
        (
            (
                'mutation {mlflowSearchDatasets(input: {experimentIds: ["%s"]})'
                "{datasetSummaries{name}}}"
            ),
            {},
            trees,
            "9876",
        ),
    ]
    for other in map(Questions, (churn, stranger_in_fraud)):
        for query, variables, name, nobody in hidden:
            answers = []
            for each in (name, nobody):
                filled = json.loads(json.dumps(variables).replace("%s", each))
                answer = other.post(query.replace("%s", each), **filled)
                assert answer.status_code == 200
                answers.append(answer.content.replace(each.encode(), b"*"))
            assert answers[0] == answers[1]


def test_a_viewer_asks_and_a_token_asks_for_what_it_may(fraud, reader, cast):
    run = fraud.run()
    register(run)
    query = '{mlflowGetRun(input: {runId: "%s"}) {run {info {runId} %s}}}'
    names = "modelVersions {name}"
    found = Questions(reader).ask(query % (run, names))
    assert found["run"]["modelVersions"] == [{"name": "scorer"}]
    narrow = tracking_as(cast.alice, cast.fraud, permissions=["tracking:read"])
    asked = Questions(narrow)
    assert asked.ask(query % (run, ""))["run"]["info"]["runId"] == run
    answer = json.loads(asked.post(query % (run, names)).content)
    assert answer["data"]["mlflowGetRun"]["run"]["modelVersions"] is None
    assert answer["errors"] == [
        "modelVersions of a run needs the permission registry:read."
    ]
    (text,) = asked.refused(FILES, data={"runId": run})
    assert text == "This token lacks the permission artifacts:read."


def test_a_token_without_tracking_asks_nothing(cast):
    other = tracking_as(cast.alice, cast.fraud, permissions=["registry:read"])
    answer = Questions(other).post("{__typename}")
    assert error(answer)[:2] == (403, "PERMISSION_DENIED")


@every_mount
def test_graphql_stands_at_every_mount(alice_in_fraud, mount: Mount):
    address = f"{mount.prefix.partition('/ajax-api/')[0].partition('/api/')[0]}/graphql"
    answer = alice_in_fraud.post(
        address, {"query": "{__typename}"}, "application/json", headers=mount.headers
    )
    assert answer.json() == {"data": {"__typename": "Query"}, "errors": None}


@pytest.mark.parametrize("origin", ["https://evil.example", "null", None])
def test_a_session_asks_from_our_own_pages_alone(stranger, cast, origin):
    stranger.force_login(cast.alice)
    headers = {"origin": origin} if origin else {}
    answer = stranger.post(
        "/mlflow/acme/fraud/graphql",
        {"query": "{__typename}"},
        "application/json",
        headers=headers,
    )
    assert error(answer)[:2] == (403, "PERMISSION_DENIED")
