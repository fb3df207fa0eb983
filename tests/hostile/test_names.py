"""Names that could pass for others (H2, H3), and renames (D14)."""

from __future__ import annotations

import pytest

from registry.models import RegisteredModel
from registry.tests.factories import ModelVersionFactory, RegisteredModelFactory
from tests.hostile.test_heads import PROJECT, rest_error

MODELS = PROJECT + "models/"
JSON = {"content_type": "application/json"}

CONFUSABLE = [
    ("encoded slash", "model%2Fa"),
    ("encoded letter", "mode%6c"),
    ("encoded twice", "model%252Fa"),
    ("slash", "model/a"),
    ("blank in front", " model"),
    ("blank behind", "model "),
    ("no-break space behind", "model\u00a0"),
    ("no-break space inside", "my\u00a0model"),
    ("em space inside", "my\u2003model"),
    ("ideographic space inside", "my\u3000model"),
    ("line separator", "my\u2028model"),
    ("tab inside", "my\tmodel"),
    ("line end", "model\n"),
    ("zero width space", "mo\u200bdel"),
    ("zero width joiner", "mo\u200ddel"),
    ("soft hyphen", "mo\u00addel"),
    ("byte order mark", "\ufeffmodel"),
    ("right to left", "mo\u202edel"),
    ("left to right mark", "model\u200e"),
    ("delete", "model\x7f"),
    ("next line", "model\x85"),
    ("private use", "model\ue000"),
    ("unassigned", "model\u0378"),
    ("decomposed", "mode\u0301l"),
    ("another ohm", "\u2126"),
    ("fullwidth", "ｍodel"),
    ("ligature", "ﬁt"),
    ("superscript", "m²"),
    ("mathematical", "𝐦odel"),
    ("one Cyrillic letter", "m\u043edel"),
    ("Cyrillic look-alike alone", "\u0430"),
    ("Cyrillic look-alikes only", "\u0441\u0430\u0440"),
    ("Cyrillic beside Latin", "model-ж"),
    ("one Greek letter", "m\u03bfdel"),
    ("Greek look-alike alone", "\u0391"),
]


@pytest.mark.parametrize("_case,name", CONFUSABLE, ids=[case for case, _ in CONFUSABLE])
def test_a_name_that_could_pass_for_another_is_refused(alice, cast, _case, name):
    status, code, message = rest_error(alice.post(MODELS, {"name": name}, **JSON))
    assert (status, code) == (400, "invalid_input")
    assert message.isprintable()
    model = RegisteredModelFactory(project=cast.fraud, name="kept")
    address = f"{MODELS}{model.pk}/"
    assert alice.patch(address, {"name": name}, **JSON).status_code == 400
    assert list(RegisteredModel._base_manager.values_list("name", flat=True)) == [
        "kept"
    ]


@pytest.mark.parametrize(
    "name",
    [
        "A",
        "a",
        "a b",
        "модель",
        "β-vae",
        "模型",
        "モデル",
        "café",
        "100%",
        "a%zz",
        "x.y_z-1",
    ],
)
def test_a_name_that_is_only_itself_is_taken_once(alice, name):
    assert alice.post(MODELS, {"name": name}, **JSON).status_code == 201
    status, code, message = rest_error(alice.post(MODELS, {"name": name}, **JSON))
    assert (status, code) == (409, "already_exists")
    assert repr(name) in message


@pytest.mark.parametrize(
    "alias", ["latest", "LATEST", "Latest", "v1", "V12", "v0", "v" + "9" * 40]
)
def test_an_alias_that_means_a_version_is_reserved(alice, cast, alias):
    version = ModelVersionFactory(registered_model__project=cast.fraud, version=1)
    address = f"{MODELS}{version.registered_model_id}/set-alias/"
    body = {"name": alias, "version": 1}
    status, code, message = rest_error(alice.post(address, body, **JSON))
    assert (status, code, "reserved" in message) == (400, "invalid_input", True)


@pytest.mark.parametrize(
    "alias", ["", " ", "a b", "a/b", "a%2Fb", "a.b", "é?", "x" * 256]
)
def test_an_alias_that_is_no_word_is_refused(alice, cast, alias):
    version = ModelVersionFactory(registered_model__project=cast.fraud, version=1)
    address = f"{MODELS}{version.registered_model_id}/set-alias/"
    response = alice.post(address, {"name": alias, "version": 1}, **JSON)
    assert rest_error(response)[:2] == (400, "invalid_input")


# Renames


def test_a_rename_meets_names_of_its_own_project_only(alice, cast):
    model = RegisteredModelFactory(project=cast.fraud, name="mine")
    RegisteredModelFactory(project=cast.fraud, name="taken")
    RegisteredModelFactory(project=cast.umbrella_fraud, name="theirs")
    RegisteredModelFactory(project=cast.churn, name="next-door")
    address = f"{MODELS}{model.pk}/"
    status, code, _message = rest_error(alice.patch(address, {"name": "taken"}, **JSON))
    assert (status, code) == (409, "already_exists")
    for name in ("theirs", "next-door"):
        assert alice.patch(address, {"name": name}, **JSON).json()["name"] == name


def test_a_name_is_free_after_its_model_was_deleted(alice, cast):
    model = RegisteredModelFactory(project=cast.fraud, name="again")
    assert alice.delete(f"{MODELS}{model.pk}/").status_code == 204
    assert alice.post(MODELS, {"name": "again"}, **JSON).status_code == 201
    status, code, message = rest_error(alice.post(f"{MODELS}{model.pk}/restore/"))
    assert (status, code) == (409, "conflict")
    assert "again-restored" in message
