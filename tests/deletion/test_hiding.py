"""One meaning of deleted everywhere: hidden, unless a module says otherwise."""

from __future__ import annotations

import ast

import pytest
from django.apps import apps
from django.urls import get_resolver
from rest_framework.viewsets import ViewSetMixin

from registry.models import Package
from tenants.context import acting_as
from tenants.models import SoftDeleted
from tenants.querysets import LiveManager
from tests.test_architecture import product_modules

EVERY = [model for model in apps.get_models() if issubclass(model, SoftDeleted)]
IS_LIVE = '"deleted_at" IS NULL'
# Who reads deleted rows on purpose. A line here is a decision: a list that everybody
# sees has none, and REST shows deleted rows by ?deleted= alone.
READERS = {
    "audit.admin.history",
    "audit.management.commands.export_audit",
    "monitoring.api.viewsets",
    "registry.admin.logged_models",
    "registry.admin.models",
    "registry.admin.packages",
    "registry.admin.runs",
    "registry.api.evaluation_datasets",
    "registry.api.logged_models",
    "registry.api.packages",
    "registry.api.searching",
    "registry.api.viewsets",
    "registry.mlflow.holders",
    "registry.mlflow.run_pages",
    "registry.mlflow.views.evaluation_datasets",
    "registry.mlflow.views.experiments",
    "registry.mlflow.views.graphql",
    "registry.mlflow.views.runs",
    "registry.relations",
    "registry.services.cleanup",
    "registry.services.deployments",
    "registry.services.evaluation_datasets",
    "registry.services.evaluation_records",
    "registry.services.experiments",
    "registry.services.models",
    "registry.services.packages",
    "registry.services.purges",
    "registry.services.purging",
    "registry.services.pushes",
    "registry.services.reconcile",
    "registry.services.repairs",
    "registry.services.retention",
    "registry.services.scopes",
    "registry.services.versions",
    "tenants.admin.base",
    "tenants.admin.invitations",
    "tenants.admin.tokens",
    "tenants.admin_lists",
    "tenants.api.viewsets",
    "tenants.services.deletion",
    "tenants.services.members",
    "tenants.services.setup",
}


@pytest.fixture
def bound(cast):
    with acting_as("command:test", organization=cast.acme.pk):
        yield


@pytest.mark.parametrize("model", EVERY, ids=lambda model: model.__name__)
def test_the_default_manager_hides_the_deleted(bound, model):
    assert isinstance(model._default_manager, LiveManager)
    assert IS_LIVE in str(model._default_manager.all().query)
    assert IS_LIVE not in str(model._default_manager.with_deleted().query)
    assert IS_LIVE not in str(model._base_manager.all().query)


@pytest.mark.parametrize("model", EVERY, ids=lambda model: model.__name__)
def test_what_belongs_to_a_row_hides_the_deleted_too(bound, model):
    for field in model._meta.related_objects:
        child = field.related_model
        if not issubclass(child, SoftDeleted) or not field.multiple:
            continue
        children = getattr(
            model(pk=model._meta.pk.default()), field.get_accessor_name()
        )
        assert IS_LIVE in str(children.all().query)
        found = str(children.with_deleted().query)
        assert IS_LIVE not in found
        assert f'"{field.field.column}" = ' in found


def test_only_known_modules_read_the_deleted():
    found = {
        ".".join(module.parts)
        for module in product_modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr == "with_deleted"
    }
    assert found - READERS == set(), "say why they need it, in READERS"
    assert READERS - found == set(), "they do not any more"


def view_sets(patterns=None):
    for pattern in patterns or get_resolver().url_patterns:
        if hasattr(pattern, "url_patterns"):
            yield from view_sets(pattern.url_patterns)
        elif issubclass(getattr(pattern.callback, "cls", object), ViewSetMixin):
            yield pattern.callback


def lists_of_soft_deleted():
    found = {}
    for view in view_sets():
        model = getattr(getattr(view.cls, "queryset", None), "model", None)
        if model in EVERY and "list" in view.actions.values():
            found[view.cls] = model
    return found


def test_rest_lists_show_the_deleted_only_on_demand():
    listed = lists_of_soft_deleted()
    assert len(listed) >= 12
    for cls, model in listed.items():
        filters = getattr(getattr(cls, "filterset_class", None), "base_filters", {})
        word = "status" if model is Package else "deleted"
        is_own = cls.__name__ == "OrganizationViewSet"  # by a function of the database
        assert is_own or word in filters, cls


@pytest.mark.parametrize("model", EVERY, ids=lambda model: model.__name__)
def test_indexes_of_lists_hold_the_living_only(model):
    """What pages walk, newest first, must not be full of what they do not show."""
    for index in model._meta.indexes:
        if index.fields[-1:] in (["-id"], ["id"]) and index.name not in BY_PARENT:
            assert index.condition is not None, index.name


# Bounded by their parent: a run's models, whatever became of them.
BY_PARENT = {"logged_models_of_run"}


def test_deleted_rows_are_indexed_for_the_purge():
    for model in EVERY:
        names = {index.name for index in model._meta.indexes}
        assert f"{model._meta.db_table}_purge" in names
