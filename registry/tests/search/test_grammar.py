"""The language word by word; what it means was asked of MLflow 3.18's own parser."""

from __future__ import annotations

import time

import pytest

from mlops.errors import InvalidInput
from registry.search.clauses import order_by_field, parse_order, split_clauses
from registry.search.fields import (
    EXPERIMENTS,
    LOGGED_MODELS,
    MODELS,
    RUNS,
    VERSIONS,
)
from registry.search.grammar import (
    MAX_COMPARISONS,
    MAX_FILTER,
    MAX_LIST,
    parse_filter,
)
from registry.search.searches import Search

LARGEST = float("inf")


def read(text, table=RUNS):
    return [
        (each.name.noun, each.name.key, each.operator, each.value)
        for each in parse_filter(text, table)
    ]


READ = [
    ("nothing", "", []),
    ("spaces", " \t\n", []),
    ("a metric", "metrics.a > 1", [("metric", "a", ">", 1.0)]),
    ("without spaces", "metrics.a>=-1", [("metric", "a", ">=", -1.0)]),
    ("a point first", "metric.a < .5", [("metric", "a", "<", 0.5)]),
    ("a point last", "metrics.a = 1.", [("metric", "a", "=", 1.0)]),
    ("an exponent", "metrics.a != -1.5e-3", [("metric", "a", "!=", -0.0015)]),
    ("as Python writes it", "metrics.a > 1e+16", [("metric", "a", ">", 1e16)]),
    ("beyond all numbers", "metrics.a < 1e400", [("metric", "a", "<", LARGEST)]),
    ("many digits", f"metrics.a < {'9' * 500}", [("metric", "a", "<", LARGEST)]),
    ("a param", "params.x = 'a'", [("parameter", "x", "=", "a")]),
    ("double quotes", 'param.x != "it\'s"', [("parameter", "x", "!=", "it's")]),
    ("other names", "parameter.x='a'", [("parameter", "x", "=", "a")]),
    ("and others", "parameters.x='a'", [("parameter", "x", "=", "a")]),
    ("any case", "tags.x iLiKe '%a'", [("tag", "x", "ILIKE", "%a")]),
    ("null", "tags.x is null", [("tag", "x", "IS NULL", None)]),
    ("not null", "params.x IS not NULL", [("parameter", "x", "IS NOT NULL", None)]),
    ("backticks", "tags.`a b` = 'x'", [("tag", "a b", "=", "x")]),
    ("a key in quotes", "tags.\"a b\" = 'x'", [("tag", "a b", "=", "x")]),
    ("a key in single ones", "tags.'a b' = 'x'", [("tag", "a b", "=", "x")]),
    ("a dotted key", "tags.mlflow.user = 'x'", [("tag", "mlflow.user", "=", "x")]),
    ("a prefix in backticks", "`params`.x = 'a'", [("parameter", "x", "=", "a")]),
    ("letters of the world", "metrics.größe > 1", [("metric", "größe", ">", 1.0)]),
    (
        "a key that is a word",
        "params.like LIKE 'a'",
        [("parameter", "like", "LIKE", "a")],
    ),
    ("a key of digits", "metrics.1 > 0.5", [("metric", "1", ">", 0.5)]),
    ("an attribute", "status = 'RUNNING'", [("attribute", "status", "=", "RUNNING")]),
    ("by its prefix", "attr.status != 'x'", [("attribute", "status", "!=", "x")]),
    ("of a run", "run.user_id = 'x'", [("attribute", "user_id", "=", "x")]),
    ("an alias", "Created > 5", [("attribute", "Created", ">", 5)]),
    ("a name of two words", "`Run name`='x'", [("attribute", "Run name", "=", "x")]),
    ("a fraction", "start_time > 1.5", [("attribute", "start_time", ">", 1.5)]),
    (
        "a list",
        "run_id IN ('a', \"b\")",
        [("attribute", "run_id", "IN", ("a", "b"))],
    ),
    (
        "a list as Python writes it",
        "run_id not in ('a',)",
        [("attribute", "run_id", "NOT IN", ("a",))],
    ),
    (
        "an escape of Python in it",
        r"datasets.name IN ('a\'b\\c')",
        [("dataset", "name", "IN", ("a'b\\c",))],
    ),
    (
        "a doubled quote in it",
        "run_id IN ('a''b')",
        [("attribute", "run_id", "IN", ("ab",))],
    ),
    ("a dataset", "dataset.context = 'x'", [("dataset", "context", "=", "x")]),
    # What MLflow does with quotes inside of quotes: it leaves them as they are.
    ("a doubled quote", "params.x = 'it''s'", [("parameter", "x", "=", "it''s")]),
    ("an escaped one", r"params.x = 'it\'s'", [("parameter", "x", "=", r"it\'s")]),
    ("a last backslash", "params.x = 'C:\\'", [("parameter", "x", "=", "C:\\")]),
    ("a comment in a text", "tags.x = '-- a'", [("tag", "x", "=", "-- a")]),
]


@pytest.mark.parametrize("_case,text,expected", READ, ids=[case for case, *_ in READ])
def test_a_filter_is_read(_case, text, expected):
    assert read(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "metrics.a > 1 AND params.b = 'c'",
        "metrics.a > 1 and params.b = 'c'",
        "metrics.a > 1\nAnd\tparams.b = 'c'",
        # MLflow takes these for the same.
        "AND metrics.a > 1 AND params.b = 'c' AND",
        "metrics.a > 1 AND AND params.b = 'c'",
        "metrics.a > 1 params.b = 'c'",
        "metrics.a>1 and params.b='c'",
    ],
)
def test_comparisons_are_joined_by_and(text):
    assert read(text) == [("metric", "a", ">", 1.0), ("parameter", "b", "=", "c")]


OTHER_TABLES = [
    (EXPERIMENTS, "name LIKE 'a%'", ("attribute", "name", "LIKE", "a%")),
    (EXPERIMENTS, "experiment_id = '1'", ("attribute", "experiment_id", "=", "1")),
    (
        EXPERIMENTS,
        "experiment_id IN ('1','2')",
        ("attribute", "experiment_id", "IN", ("1", "2")),
    ),
    (EXPERIMENTS, "creation_time > 5", ("attribute", "creation_time", ">", 5)),
    (EXPERIMENTS, "tags.`k` IS NULL", ("tag", "k", "IS NULL", None)),
    (MODELS, "attribute.name ilike 'a'", ("attribute", "name", "ILIKE", "a")),
    (MODELS, "name IN ('a')", ("attribute", "name", "IN", ("a",))),
    (VERSIONS, "version_number = '7'", ("attribute", "version_number", "=", 7)),
    (VERSIONS, "version_number > 7", ("attribute", "version_number", ">", 7)),
    (VERSIONS, "source_path LIKE 's%'", ("attribute", "source_path", "LIKE", "s%")),
    (LOGGED_MODELS, "params.lr = 0.01", ("parameter", "lr", "=", "0.01")),
    (LOGGED_MODELS, "attributes.name = a", ("attribute", "name", "=", "a")),
    (LOGGED_MODELS, "status != READY", ("attribute", "status", "!=", "READY")),
    (
        LOGGED_MODELS,
        "tags.k IN ('a', 'b')",
        ("tag", "k", "IN", ("a", "b")),
    ),
]


@pytest.mark.parametrize("table,text,expected", OTHER_TABLES)
def test_each_entity_has_its_own_names(table, text, expected):
    assert read(text, table) == [expected]


STRAY = "Invalid clause(s) in filter string: "
KEYS = (
    "['Created', 'Run Name', 'Run name', 'artifact_uri', 'created', 'end_time', "
    "'run name', 'run_id', 'run_name', 'start_time', 'status', 'user_id']"
)
WRONG = [
    ("or", "params.x = 'a' OR params.y = 'b'", f"{STRAY}'OR'", 16),
    ("not", "NOT params.x = 'a'", f"{STRAY}'NOT'", 1),
    ("parentheses", "(params.x = 'a')", f"{STRAY}'('", 1),
    ("a semicolon", "params.x = 'a';", f"{STRAY}';'", 15),
    ("a comment", "params.x = 'a' -- b", f"{STRAY}'-'", 16),
    ("a value first", "'a' = params.x", f"{STRAY}''a''", 1),
    (
        "a word alone",
        "tags.a = 'b' and foo",
        f"{STRAY}'end of text'. Expected a comparison, such as = or LIKE",
        21,
    ),
    (
        "a name of two words",
        "run name = 'x'",
        f"{STRAY}'name'. Expected a comparison, such as = or LIKE",
        5,
    ),
    (
        "a dash in a key",
        "metrics.a-b > 1",
        f"{STRAY}'-'. Expected a comparison, such as = or LIKE",
        10,
    ),
    (
        "an open quote",
        "params.x = 'a",
        f"{STRAY}''a'. The quote ' is never closed",
        12,
    ),
    ("nothing behind a dot", "params. = 'a'", "Expected a name behind the dot", 7),
    (
        "an unknown prefix",
        "tags.a='b' and foo.x = 'a'",
        (
            "Invalid entity type 'foo'. Valid values are "
            "['metric', 'parameter', 'tag', 'attribute', 'dataset']"
        ),
        16,
    ),
    ("a prefix in capitals", "Params.x = 'a'", "Invalid entity type 'Params'.", 1),
    (
        "an unknown attribute",
        "foo = 'a'",
        f"Invalid attribute key 'foo' specified. Valid keys are '{KEYS}'",
        1,
    ),
    (
        "an unknown field of datasets",
        "datasets.foo = 'a'",
        (
            "Invalid dataset key 'foo' specified. "
            "Valid keys are '['context', 'digest', 'name']'"
        ),
        1,
    ),
    (
        "a metric by text",
        "metrics.a > 'b'",
        "Expected numeric value type for metric. Found 'b'",
        13,
    ),
    (
        "a metric by NaN",
        "metrics.a > NaN",
        "Expected numeric value type for metric. Found NaN",
        13,
    ),
    (
        "a metric by nothing",
        "metrics.a >",
        "Expected numeric value type for metric. Found nothing",
        12,
    ),
    (
        "a param by a number",
        "params.x = 5",
        "Expected a quoted string value for parameter (e.g. 'my-value'). Got value 5",
        12,
    ),
    (
        "a param by a word",
        "params.x = b",
        (
            "Parameter value is either not quoted or unidentified quote types used for "
            "string value b. Use either single or double quotes."
        ),
        12,
    ),
    (
        "an attribute by a number",
        "status = 5",
        "Expected a quoted string value for attributes. Got value 5",
        10,
    ),
    (
        "a time by text",
        "start_time > 'x'",
        "Expected numeric value type for numeric attribute: start_time. Found 'x'",
        14,
    ),
    (
        "no operator of metrics",
        "metrics.a == 1",
        "Invalid comparator '==' not one of '['=', '!=', '>', '>=', '<', '<=']'",
        11,
    ),
    (
        "no operator of params",
        "params.x > 'a'",
        (
            "Invalid comparator '>' not one of "
            "'['=', '!=', 'LIKE', 'ILIKE', 'IS NULL', 'IS NOT NULL']'"
        ),
        10,
    ),
    ("not like", "params.x NOT LIKE 'a'", "Invalid comparator 'NOT LIKE'", 10),
    ("a regular expression", "params.x RLIKE 'a'", "Invalid comparator 'RLIKE'", 10),
    (
        "null of a metric",
        "metrics.a IS NULL",
        (
            "IS NULL / IS NOT NULL is only supported for tags and params, not for "
            "'metric' 'a'"
        ),
        11,
    ),
    (
        "a list of a status",
        "status IN ('a')",
        (
            "Only ['run_id'] attributes support comparison with a list of quoted "
            "string values."
        ),
        11,
    ),
    (
        "a list of a param",
        "params.x IN ('a')",
        "Expected a quoted string value for parameter (e.g. 'my-value'). Got value (",
        13,
    ),
    ("no list", "run_id IN 'a'", f"{STRAY}''a''. Expected a list in parentheses", 11),
    ("an empty list", "run_id IN ()", "but got empty list", 11),
    ("a number in it", "run_id IN ('a', 1)", "got different type in list: 1", 17),
    ("no comma in it", "run_id IN ('a' 'b')", "but got ill-formed list.", 16),
    ("no end of it", "run_id IN ('a'", "but got ill-formed list.", 15),
    ("an escape of nothing", "run_id IN ('\\x')", "but got ill-formed list.", 12),
    ("an escaped surrogate", r"run_id IN ('\ud800')", "but got ill-formed list.", 12),
    ("an escaped NUL", r"run_id IN ('a', '\0')", "but got ill-formed list.", 17),
    (
        "a pattern that escapes nothing",
        "tags.x LIKE 'a\\'",
        "The pattern 'a\\' ends with a backslash; double it",
        13,
    ),
    (
        "a pattern of many parts",
        f"tags.x LIKE '{'%a' * 51}'",
        "The pattern has more than 50 %; use fewer",
        13,
    ),
    ("NUL", "params.x = 'a\x00'", "'U+0000'. No text holds this character", 14),
    ("a surrogate", "params.x = '\ud800'", "'U+D800'. No text holds this", 13),
    ("a deep one", "(" * 9_000, f"{STRAY}'('", 1),
]


@pytest.mark.parametrize(
    "_case,text,reason,position", WRONG, ids=[case for case, *_ in WRONG]
)
def test_a_wrong_filter_says_what_and_where(_case, text, reason, position):
    with pytest.raises(InvalidInput) as error:
        parse_filter(text, RUNS)
    assert reason in error.value.message
    assert error.value.message.endswith(f"(at position {position})")


@pytest.mark.parametrize(
    "table,text,reason",
    [
        (EXPERIMENTS, "metrics.a > 1", "Valid entity types are ('attribute', 'attr"),
        (EXPERIMENTS, "attr.name = 'a'", "Invalid entity type 'attr'. Valid entity"),
        (MODELS, "attributes.name = 'a'", "Invalid entity type 'attributes'."),
        (EXPERIMENTS, "experiment_id = 'abc'", "Invalid experiment ID 'abc'. Exper"),
        (EXPERIMENTS, "experiment_id = '٣'", "must be a valid integer"),
        (EXPERIMENTS, "experiment_id LIKE '1'", "Invalid comparator 'LIKE'"),
        (EXPERIMENTS, "creation_time > 5.5", "Invalid value for numeric attribute 'c"),
        (EXPERIMENTS, "name > 'a'", "Invalid comparator '>'"),
        (EXPERIMENTS, "name IS NULL", "is only supported for tags, not for 'attrib"),
        (EXPERIMENTS, "lifecycle_stage = 'active'", "Invalid attribute key 'lifecycl"),
        (MODELS, "creation_timestamp > 5", "Valid keys are '['name']'"),
        (MODELS, "run_id = 'a'", "Valid keys are '['name']'"),
        (VERSIONS, "version_number = 1.5", "Invalid value for numeric attribute 've"),
        (VERSIONS, "version_number = 'x'", "Invalid value for numeric attribute 've"),
        (VERSIONS, "source_path IN ('a')", "Only ['name', 'run_id'] attributes supp"),
        (VERSIONS, "stage = 'Production'", "Invalid attribute key 'stage'"),
        (LOGGED_MODELS, "metric.a > 1", "Invalid entity type: 'metric'. Expected one"),
        (LOGGED_MODELS, "metrics.a > x", "Expected numeric value type for metric"),
        (LOGGED_MODELS, "params.a > 'x'", "Invalid comparator '>'"),
        (LOGGED_MODELS, "status = 2", "Unknown model status in filter: '2'"),
        (LOGGED_MODELS, "status IN ('READY', 'x')", "Unknown model status in filter"),
        (LOGGED_MODELS, "status LIKE 'READY'", "Invalid comparator 'LIKE'"),
    ],
)
def test_each_entity_refuses_what_it_does_not_have(table, text, reason):
    with pytest.raises(InvalidInput) as error:
        parse_filter(text, table)
    assert reason in error.value.message
    assert "(at position " in error.value.message


@pytest.mark.parametrize(
    "text,reason,position",
    [
        (" " * (MAX_FILTER + 1), "use at most", MAX_FILTER + 1),
        (
            " AND ".join(["metrics.a > 1"] * (MAX_COMPARISONS + 1)),
            f"more than {MAX_COMPARISONS} comparisons",
            len("metrics.a > 1 AND ") * MAX_COMPARISONS + 1,
        ),
        (
            f"run_id IN ({','.join([repr('a')] * (MAX_LIST + 1))})",
            f"more than {MAX_LIST} values",
            11,
        ),
    ],
    ids=["characters", "comparisons", "a list"],
)
def test_what_is_too_long_is_refused_and_says_the_limit(text, reason, position):
    with pytest.raises(InvalidInput) as error:
        parse_filter(text, RUNS)
    assert reason in error.value.message
    assert error.value.message.endswith(f"(at position {position})")
    # Up to the limit it is read.
    assert read(" AND ".join(["metrics.a > 1"] * MAX_COMPARISONS))
    assert (
        len(read(f"run_id IN ({','.join([repr('a')] * MAX_LIST)})")[0][3]) == MAX_LIST
    )


HOSTILE = [
    "'" * MAX_FILTER,
    "\\'" * (MAX_FILTER // 2),
    "`" * (MAX_FILTER - 1),
    "params.x = '" + "\\" * (MAX_FILTER - 12),
    "a." * (MAX_FILTER // 2),
    "metrics.a > " + "1" * (MAX_FILTER - 13) + "x",
    "metrics.a > " + "1e" * (MAX_FILTER // 2 - 6),
    "run_id IN (" + "'a'," * (MAX_FILTER // 4 - 3),
    "tags.a LIKE '" + "%a" * (MAX_FILTER // 2 - 7) + "\\'",
    "AND " * (MAX_FILTER // 4),
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_the_longest_filter_is_refused_at_once(text):
    began = time.process_time()
    with pytest.raises(InvalidInput) as error:
        parse_filter(text, RUNS)
    assert time.process_time() - began < 0.3
    assert "(at position " in error.value.message
    assert len(error.value.message) < 1000


# Order


def ways(clauses, table=RUNS):
    return [(key.name.key, key.descends) for key in parse_order(clauses, table)]


DEFAULT = [("start_time", True), ("run_id", False)]
ORDERS = [
    (RUNS, [], DEFAULT),
    (RUNS, ["metrics.a"], [("a", False), *DEFAULT]),
    (RUNS, ["metrics.`a b` DESC", "params.x"], [("a b", True), ("x", False), *DEFAULT]),
    (RUNS, ['tags."a b" asc'], [("a b", False), *DEFAULT]),
    (RUNS, ["  attributes.end_time   DESC  "], [("end_time", True), *DEFAULT]),
    # A client's own start_time takes the place of the one behind.
    (RUNS, ["start_time"], [("start_time", False), ("run_id", False)]),
    (RUNS, ["Created desc"], [("Created", True), ("run_id", False)]),
    # No two runs have one id.
    (RUNS, ["run_id DESC", "status"], [("run_id", True)]),
    (EXPERIMENTS, [], [("creation_time", True), ("experiment_id", False)]),
    # Not the default's way: MLflow 3.18 puts `experiment_id DESC` behind.
    (EXPERIMENTS, ["name"], [("name", False), ("experiment_id", True)]),
    (EXPERIMENTS, ["name", "name DESC"], [("name", False), ("experiment_id", True)]),
    (EXPERIMENTS, ["experiment_id", "name"], [("experiment_id", False)]),
    (MODELS, [], [("name", False), ("", False)]),
    (MODELS, ["timestamp DESC"], [("timestamp", True), ("name", False), ("", False)]),
    (
        VERSIONS,
        [],
        [
            ("last_updated_timestamp", True),
            ("name", False),
            ("version_number", True),
            ("", False),
        ],
    ),
    (
        VERSIONS,
        ["version_number"],
        [("version_number", False), ("name", False), ("", False)],
    ),
    (LOGGED_MODELS, [], [("creation_timestamp", True), ("model_id", False)]),
]


@pytest.mark.parametrize("table,clauses,expected", ORDERS)
def test_an_order_is_completed_until_no_rows_tie(table, clauses, expected):
    assert ways(clauses, table) == expected


WRONG_ORDERS = [
    (RUNS, "", "Could not be parsed.", 1),
    (RUNS, "metrics.a, metrics.b", "Could not be parsed.", 10),
    (RUNS, "metrics.a DESC NULLS LAST", "Could not be parsed.", 16),
    (RUNS, "metrics.a-b", "Could not be parsed.", 10),
    (RUNS, "metrics.`a", "Could not be parsed.", 9),
    (RUNS, "metrics.a;", "Could not be parsed.", 10),
    (RUNS, "'start_time'", "Could not be parsed.", 1),
    (RUNS, "m" * 601, "Could not be parsed.", 601),
    (RUNS, "metrics.a down", "Invalid ordering key in order_by clause", 11),
    (RUNS, "foo", "Invalid attribute key 'foo' specified.", 1),
    # Of filters only, in MLflow as here.
    (RUNS, "`Run Name`", "Invalid attribute key 'Run Name' specified.", 1),
    (RUNS, "datasets.name", "Invalid order_by entity: dataset", 1),
    (EXPERIMENTS, "tags.a", "Invalid order_by entity: tag", 1),
    (MODELS, "creation_timestamp", "Invalid attribute key 'creation_timestamp'", 1),
    (VERSIONS, "run_id", "Invalid attribute key 'run_id' specified.", 1),
]


@pytest.mark.parametrize("table,clause,reason,position", WRONG_ORDERS)
def test_a_wrong_order_says_what_and_where(table, clause, reason, position):
    with pytest.raises(InvalidInput) as error:
        parse_order(["name" if table is not RUNS else "status", clause], table)
    assert reason in error.value.message
    place = f"(at position {position} of order_by clause 2)"
    assert error.value.message.endswith(place)


@pytest.mark.parametrize(
    "table,clauses",
    [
        (RUNS, ["metrics.a", "metrics.`a` DESC"]),
        (RUNS, ["start_time", "created DESC"]),
        (MODELS, ["timestamp", "last_updated_timestamp"]),
        (VERSIONS, ["name", "name"]),
    ],
)
def test_a_field_that_an_order_names_twice_is_refused(table, clauses):
    with pytest.raises(InvalidInput, match="contains duplicate fields"):
        parse_order(clauses, table)


def test_of_a_wrong_filter_and_a_wrong_order_the_filter_is_told():
    for order in (["start_time", "start_time"], ["nonsense.a"]):
        with pytest.raises(InvalidInput, match="'OR'"):
            Search.of(RUNS, "status = 'a' OR status = 'b'", order)


def test_more_clauses_than_anybody_needs_are_refused():
    with pytest.raises(InvalidInput, match="has 21 clauses; use at most 20"):
        parse_order(["status"] * 21, RUNS)


def test_an_order_in_one_text_is_parted_at_commas_outside_of_quotes():
    text = "metrics.`a,b` DESC, start_time,"
    assert split_clauses(text) == ["metrics.`a,b` DESC", " start_time", ""]
    with pytest.raises(InvalidInput, match="at position 1 of order_by clause 1"):
        split_clauses("`a")


def test_a_search_is_plain_however_its_own_order_is_written():
    assert Search.of(RUNS).is_plain
    assert Search.of(RUNS, " AND ", ["attributes.`created` DESC"]).is_plain
    assert not Search.of(RUNS, "", ["start_time"]).is_plain
    assert not Search.of(RUNS, "status = 'x'").is_plain


def test_an_order_of_logged_models_names_attributes_and_metrics():
    key = order_by_field(
        "metrics.a b.c", descends=True, dataset=("d", ""), table=LOGGED_MODELS
    )
    assert (key.name.key, key.dataset) == ("a b.c", ("d", ""))
    for name, reason in (
        ("foo", "Invalid order by field name: foo$"),
        ("params.x", "Only metrics are supported."),
        ("metrics.", "Invalid order by field name: metrics."),
    ):
        with pytest.raises(InvalidInput, match=reason):
            order_by_field(name, descends=False, dataset=("", ""), table=LOGGED_MODELS)
