"""What the web UI and the client ask beside the endpoints: GraphQL, server, user."""

from __future__ import annotations

from typing import Any

from tests.differential.calls import Call, get, post, raw, scene
from tests.differential.corpus.metrics import point

EXPERIMENT = """
query MlflowGetExperimentQuery($$input: MlflowGetExperimentInput!) {
  mlflowGetExperiment(input: $$input) {
    apiError { code message __typename }
    experiment {
      artifactLocation experimentId lifecycleStage name
      tags { key value __typename } __typename
    }
    __typename
  }
}
"""
RUN = """
query GetRun($$data: MlflowGetRunInput!)
    @component(name: "MLflow.ExperimentRunTracking") {
  mlflowGetRun(input: $$data) {
    apiError { helpUrl code message }
    run {
      info { runName status runUuid experimentId artifactUri endTime lifecycleStage
             startTime userId }
      experiment { experimentId name tags { key value } artifactLocation
                   lifecycleStage lastUpdateTime }
      modelVersions { status version name source }
      data { metrics { key value step timestamp } params { key value }
             tags { key value } }
      inputs { datasetInputs { dataset { digest name profile schema source sourceType }
               tags { key value } } modelInputs { modelId } }
      outputs { modelOutputs { modelId step } }
    }
  }
}
"""
RUNS = """
query SearchRuns($$data: MlflowSearchRunsInput!) {
  mlflowSearchRuns(input: $$data) {
    apiError { code message }
    runs { info { runName status } data { metrics { key value } } }
  }
}
"""
HISTORY = """
query GetMetricHistoryBulkInterval($$data: MlflowGetMetricHistoryBulkIntervalInput!) {
  mlflowGetMetricHistoryBulkInterval(input: $$data) {
    metrics { timestamp step runId key value }
    apiError { code message }
  }
}
"""


def ask(query: Any, **variables: Any) -> Call:
    return post("/graphql", query=query, variables=variables)


GRAPHQL = scene(
    "GraphQL",
    post("experiments/create", name="$here graph").keep(e_g="experiment_id"),
    post("runs/create", experiment_id="$e_g", run_name="graph", start_time=1000).keep(
        r_g="run.info.run_id"
    ),
    post("runs/log-metric", run_id="$r_g", **point("m", 0.5, step=3)),
    post("runs/log-parameter", run_id="$r_g", key="p", value="1"),
    ask(EXPERIMENT, input={"experimentId": "$e_g"}),
    ask(EXPERIMENT, input={"experimentId": "987654321"}),
    ask(EXPERIMENT, input={"experimentId": "abc"}),
    ask(EXPERIMENT, input={}),
    ask(EXPERIMENT),
    ask(RUN, data={"runId": "$r_g"}),
    ask(RUN, data={"runUuid": "$r_g"}),
    ask(RUN, data={"runId": "nope"}),
    ask(RUN, data={}),
    ask(RUNS, data={"experimentIds": ["$e_g"]}),
    ask(RUNS, data={"experimentIds": ["$e_g"], "filter": "params.p = '1'"}),
    ask(RUNS, data={"experimentIds": ["$e_g"], "filter": "gibberish"}),
    ask(RUNS, data={"experimentIds": ["987654321"]}),
    ask(HISTORY, data={"runIds": ["$r_g"], "metricKey": "m"}),
    ask(HISTORY, data={"runIds": ["$r_g"], "metricKey": "m", "maxResults": 5}),
    ask(HISTORY, data={"runIds": ["nope"], "metricKey": "m"}),
    ask('{ test(inputString: "x") { output } }'),
    ask("{ nonsense }"),
    ask("{"),
    ask(""),
    ask(5),
    ask("{ __typename }"),
    ask("{ __schema { queryType { name } } }"),
    post("/graphql", variables={}),
    post("/graphql"),
    raw("POST", "/graphql", b"[]"),
    raw("POST", "/graphql", b"{"),
    ask("{ " + " ".join(f"a{i}: __typename" for i in range(11)) + " }"),
)

SERVER = scene(
    "the server about itself",
    Call("GET", "/health"),
    Call("GET", "/version"),
    Call("GET", "/api/3.0/mlflow/server-info"),
    Call("GET", "/ajax-api/3.0/mlflow/server-info"),
    Call("GET", "/ajax-api/2.0/mlflow/users/current"),
    Call("GET", "/ajax-api/3.0/mlflow/ui-telemetry"),
    get("/ajax-api/2.0/mlflow/gateway-proxy", gateway_path="api/2.0/endpoints/"),
)

SCENES = (GRAPHQL, SERVER)
