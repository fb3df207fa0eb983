"""MLflow's GraphQL schema, as far as its web UI and its clients ask it.

A type's fields are read from dicts with the names of the protocol: `artifactUri` is
`artifact_uri` of what the endpoint answered. What that leaves out is, as in MLflow, the
empty value of the field's type; an `apiError` is never there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from graphql import (
    GraphQLError,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLScalarType,
    GraphQLSchema,
    IntValueNode,
    build_schema,
)

DEFINITIONS = """
directive @component(name: String!) on QUERY | MUTATION

"A 64-bit integer as text: JavaScript has no number for it."
scalar LongString

type Query {
  mlflowGetExperiment(input: MlflowGetExperimentInput): MlflowGetExperimentResponse
  mlflowGetRun(input: MlflowGetRunInput): MlflowGetRunResponse
  mlflowSearchRuns(input: MlflowSearchRunsInput): MlflowSearchRunsResponse
  mlflowGetMetricHistoryBulkInterval(
    input: MlflowGetMetricHistoryBulkIntervalInput
  ): MlflowGetMetricHistoryBulkIntervalResponse
  mlflowListArtifacts(input: MlflowListArtifactsInput): MlflowListArtifactsResponse
  mlflowSearchModelVersions(
    input: MlflowSearchModelVersionsInput
  ): MlflowSearchModelVersionsResponse
  test(inputString: String): Test
}

"Reads like the rest; MLflow has them among its mutations."
type Mutation {
  mlflowSearchDatasets(input: MlflowSearchDatasetsInput): MlflowSearchDatasetsResponse
  mlflowSearchRuns(input: MlflowSearchRunsInput): MlflowSearchRunsResponse
}

type Test { output: String }

type ApiError {
  code: String
  message: String
  helpUrl: String
  traceId: String
  errorDetails: [ErrorDetail]
}
type ErrorDetail { field: String message: String }

input MlflowGetExperimentInput { experimentId: String }
type MlflowGetExperimentResponse { experiment: MlflowExperiment apiError: ApiError }
type MlflowExperiment {
  experimentId: String
  name: String
  artifactLocation: String
  lifecycleStage: String
  lastUpdateTime: LongString
  creationTime: LongString
  tags: [MlflowExperimentTag!]
  effectiveTraceArchivalRetention: String
  workspace: String
}
type MlflowExperimentTag { key: String value: String }

input MlflowGetRunInput { runId: String runUuid: String }
type MlflowGetRunResponse { run: MlflowRunExtension apiError: ApiError }

enum MlflowViewType { ACTIVE_ONLY DELETED_ONLY ALL }
input MlflowSearchRunsInput {
  experimentIds: [String]
  filter: String
  runViewType: MlflowViewType
  maxResults: Int
  orderBy: [String]
  pageToken: String
}
type MlflowSearchRunsResponse {
  runs: [MlflowRunExtension!]
  nextPageToken: String
  apiError: ApiError
}

type MlflowRunExtension {
  info: MlflowRunInfo
  data: MlflowRunData
  inputs: MlflowRunInputs
  outputs: MlflowRunOutputs
  experiment: MlflowExperiment
  modelVersions: [MlflowModelVersion!]
}
enum MlflowRunStatus { RUNNING SCHEDULED FINISHED FAILED KILLED }
type MlflowRunInfo {
  runId: String
  runUuid: String
  runName: String
  experimentId: String
  userId: String
  status: MlflowRunStatus
  startTime: LongString
  endTime: LongString
  artifactUri: String
  lifecycleStage: String
}
type MlflowRunData {
  metrics: [MlflowMetricExtension!]
  params: [MlflowParam!]
  tags: [MlflowRunTag!]
}
type MlflowMetricExtension {
  key: String
  value: Float
  timestamp: LongString
  step: LongString
  datasetName: String
  datasetDigest: String
  modelId: String
  runId: String
}
type MlflowParam { key: String value: String }
type MlflowRunTag { key: String value: String }
type MlflowRunInputs {
  datasetInputs: [MlflowDatasetInput!]
  modelInputs: [MlflowModelInput!]
}
type MlflowDatasetInput { tags: [MlflowInputTag!] dataset: MlflowDataset }
type MlflowInputTag { key: String value: String }
type MlflowDataset {
  name: String
  digest: String
  sourceType: String
  source: String
  schema: String
  profile: String
}
type MlflowModelInput { modelId: String }
type MlflowRunOutputs { modelOutputs: [MlflowModelOutput!] }
type MlflowModelOutput { modelId: String step: LongString }

input MlflowGetMetricHistoryBulkIntervalInput {
  runIds: [String]
  metricKey: String
  startStep: Int
  endStep: Int
  maxResults: Int
}
type MlflowGetMetricHistoryBulkIntervalResponse {
  metrics: [MlflowMetricWithRunId!]
  apiError: ApiError
}
type MlflowMetricWithRunId {
  key: String
  value: Float
  timestamp: LongString
  step: LongString
  runId: String
}

input MlflowListArtifactsInput {
  runId: String
  runUuid: String
  path: String
  pageToken: String
}
type MlflowListArtifactsResponse {
  rootUri: String
  files: [MlflowFileInfo!]
  nextPageToken: String
  apiError: ApiError
}
type MlflowFileInfo { path: String isDir: Boolean fileSize: LongString }

input MlflowSearchDatasetsInput { experimentIds: [String] }
type MlflowSearchDatasetsResponse {
  datasetSummaries: [MlflowDatasetSummary!]
  apiError: ApiError
}
type MlflowDatasetSummary {
  experimentId: String
  name: String
  digest: String
  context: String
}

input MlflowSearchModelVersionsInput {
  filter: String
  maxResults: LongString
  orderBy: [String]
  pageToken: String
}
type MlflowSearchModelVersionsResponse {
  modelVersions: [MlflowModelVersion!]
  nextPageToken: String
  apiError: ApiError
}
enum MlflowModelVersionStatus { PENDING_REGISTRATION FAILED_REGISTRATION READY }
type MlflowModelVersion {
  name: String
  version: String
  creationTimestamp: LongString
  lastUpdatedTimestamp: LongString
  userId: String
  currentStage: String
  description: String
  source: String
  runId: String
  status: MlflowModelVersionStatus
  statusMessage: String
  tags: [MlflowModelVersionTag!]
  runLink: String
  aliases: [String]
  modelId: String
  modelParams: [MlflowModelParam!]
  modelMetrics: [MlflowModelMetric!]
  deploymentJobState: MlflowModelVersionDeploymentJobState
}
type MlflowModelVersionTag { key: String value: String }
type MlflowModelParam { name: String value: String }
type MlflowModelMetric {
  key: String
  value: Float
  timestamp: LongString
  step: LongString
  datasetName: String
  datasetDigest: String
  modelId: String
  runId: String
}
type MlflowModelVersionDeploymentJobState {
  jobId: String
  runId: String
  jobState: MlflowDeploymentJobConnectionState
  runState: MlflowDeploymentJobRunState
  currentTaskName: String
}
enum MlflowDeploymentJobConnectionState {
  DEPLOYMENT_JOB_CONNECTION_STATE_UNSPECIFIED
  NOT_SET_UP
  CONNECTED
  NOT_FOUND
  REQUIRED_PARAMETERS_CHANGED
}
enum MlflowDeploymentJobRunState {
  DEPLOYMENT_JOB_RUN_STATE_UNSPECIFIED
  NO_VALID_DEPLOYMENT_JOB_FOUND
  RUNNING
  SUCCEEDED
  FAILED
  PENDING
  APPROVAL
}
"""

HUMP = re.compile(r"(?=[A-Z])")
EMPTY: Mapping[str, Any] = {
    "String": "",
    "LongString": 0,
    "Float": 0.0,
    "Boolean": False,
    "ApiError": None,
}
Resolver = Callable[..., Any]


def snake(name: str) -> str:
    """Write a name of GraphQL as the protocol has it."""
    return HUMP.sub("_", name).lower()


def empty(field: GraphQLField) -> Any:
    """Return what stands for a field that the protocol leaves out."""
    if isinstance(field.type, GraphQLList):
        return ()
    assert isinstance(field.type, GraphQLNamedType)
    return EMPTY.get(
        field.type.name, {} if isinstance(field.type, GraphQLObjectType) else None
    )


def reader(name: str, field: GraphQLField) -> Resolver:
    key, absent = snake(name), empty(field)

    def read(source: Mapping[str, Any], info: GraphQLResolveInfo) -> Any:
        return source.get(key, absent)

    def read_number(source: Mapping[str, Any], info: GraphQLResolveInfo) -> Any:
        """GraphQL has no NaN: MLflow's pages show null as one."""
        value = source.get(key, absent)
        return None if isinstance(value, str) else value

    is_float = isinstance(field.type, GraphQLNamedType) and field.type.name == "Float"
    return read_number if is_float else read


def read_long(value: Any) -> int:
    """Read a number, or its text, from a variable of the query."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise GraphQLError("LongString cannot represent what is no integer") from None


def read_long_literal(node: Any, variables: Any = None) -> int | None:
    return int(node.value) if isinstance(node, IntValueNode) else None


def schema() -> GraphQLSchema:
    made = build_schema(DEFINITIONS)
    long = made.type_map["LongString"]
    assert isinstance(long, GraphQLScalarType)
    long.serialize = str  # type: ignore[assignment,method-assign]
    long.parse_value = read_long  # type: ignore[method-assign]
    long.parse_literal = read_long_literal  # type: ignore[method-assign]
    for each in made.type_map.values():
        if isinstance(each, GraphQLInputObjectType):
            for name, wanted in each.fields.items():
                wanted.out_name = snake(name)
    for name, field in read_fields(made):
        field.resolve = reader(name, field)
    return made


def read_fields(of: GraphQLSchema) -> Iterator[tuple[str, GraphQLField]]:
    """Yield the fields that are read from an answer: not those of the roots."""
    roots = {of.query_type, of.mutation_type}
    for each in of.type_map.values():
        is_ours = not each.name.startswith("__")
        if isinstance(each, GraphQLObjectType) and each not in roots and is_ours:
            yield from each.fields.items()


SCHEMA = schema()


def resolves(type_name: str, field_name: str, resolver: Resolver) -> None:
    """Say where a field comes from, if not from the answer that its type stands for."""
    owner = SCHEMA.type_map[type_name]
    assert isinstance(owner, GraphQLObjectType)
    owner.fields[field_name].resolve = resolver
