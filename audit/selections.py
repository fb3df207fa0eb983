"""Which entries of the trail are asked for, in the same words by REST and commands.

The trail of an organization has an index by time, by object and by actor. Whatever else
is asked for is looked for entry by entry among what those leave, so many at a time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from ipaddress import ip_network
from typing import Any

import django_filters
from django import forms
from django.apps import apps
from django.db.models import QuerySet
from django_filters.rest_framework import FilterSet

from audit.models import AuditLog, Outcome
from mlops.addresses import parsed, prefix_of
from mlops.errors import InvalidInput
from tenants.context import Actor

ACTION = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*){1,2}|[a-z][a-z0-9_.]*\.\*")
TOKEN = re.compile(r"[A-Za-z0-9]{12}")
KINDS = ("user", "service", "staff", "command", "job", "system", "anonymous")
# Filters that an index serves; the object's needs both its type and its id.
INDEXED = frozenset({"since", "until", "actor"})
OF_OBJECT = frozenset({"object_type", "object_id"})

ACTION_FORM = "Use an action, such as registry.run.created, or all of registry.run.*"
TOKEN_FORM = "Use the 12 letters and digits of a token between its underscores."
ADDRESS_FORM = "Use an address, such as 192.0.2.7, or a network, such as 192.0.2.0/24."
TABLE_FORM = "There is no such table; use projects, experiment_runs, model_versions, …"


def matching(pattern: re.Pattern[str], advice: str) -> Any:
    def check(text: str) -> None:
        if not pattern.fullmatch(text):
            raise forms.ValidationError(advice)

    return check


@cache
def tables() -> frozenset[str]:
    """Name what entries may be about."""
    models = apps.get_models(include_auto_created=True)
    return frozenset(model._meta.db_table for model in models)


def check_table(text: str) -> None:
    if text not in tables():
        raise forms.ValidationError(TABLE_FORM)


def check_address(text: str) -> None:
    try:
        ip_network(text)
    except ValueError:
        raise forms.ValidationError(ADDRESS_FORM) from None


class Selection(FilterSet):
    since = django_filters.IsoDateTimeFilter(
        method="from_moment", label="From this moment on, in ISO 8601."
    )
    until = django_filters.IsoDateTimeFilter(
        method="to_moment", label="Before this moment, in ISO 8601."
    )
    actor = django_filters.UUIDFilter(
        method="by_actor", label="Id of the user or service account that acted."
    )
    actor_kind = django_filters.ChoiceFilter(
        choices=[(kind, kind) for kind in KINDS], label="What kind of actor acted."
    )
    actor_label = django_filters.CharFilter(
        max_length=200,
        label="Name of a command or job that acted, or unattributed.",
    )
    token = django_filters.CharFilter(
        field_name="token_public_id",
        validators=[matching(TOKEN, TOKEN_FORM)],
        label="Public id of the token that authenticated.",
    )
    action = django_filters.CharFilter(
        method="doing",
        max_length=100,
        validators=[matching(ACTION, ACTION_FORM)],
        label="An action, or with .* at its end all that begin so.",
    )
    outcome = django_filters.ChoiceFilter(choices=Outcome.choices)
    object_type = django_filters.CharFilter(
        method="of_type",
        max_length=63,
        validators=[check_table],
        label="Table of the object, such as model_versions.",
    )
    object_id = django_filters.UUIDFilter(
        method="of_object", label="Id of the object; fast together with its type."
    )
    project = django_filters.UUIDFilter(
        method="of_project", label="Id of the project that the object belongs to."
    )
    request_id = django_filters.CharFilter(
        max_length=64, label="X-Request-Id of the request that made the change."
    )
    address = django_filters.CharFilter(
        method="from_address",
        validators=[check_address],
        label="Address of the caller, or its network as entries show it.",
    )

    class Meta:
        model = AuditLog
        fields: list[str] = []

    def from_moment(self, rows: Any, name: str, moment: datetime) -> QuerySet:
        return rows.since(moment)

    def to_moment(self, rows: Any, name: str, moment: datetime) -> QuerySet:
        return rows.until(moment)

    def by_actor(self, rows: Any, name: str, key: Any) -> QuerySet:
        return rows.by(key)

    def doing(self, rows: Any, name: str, action: str) -> QuerySet:
        return rows.doing(action)

    def of_type(self, rows: Any, name: str, table: str) -> QuerySet:
        return rows.filter(object_type=table)

    def of_object(self, rows: Any, name: str, key: Any) -> QuerySet:
        return rows.filter(object_id=key).since_made(key)

    def of_project(self, rows: Any, name: str, key: Any) -> QuerySet:
        return rows.filter(project_id=key).since_made(key)

    def from_address(self, rows: Any, name: str, text: str) -> QuerySet:
        """Entries hold the network alone where the installation wants no more."""
        forms_of_it = {text, str(parsed(text) or text), prefix_of(text)} - {""}
        return rows.filter(address__in=sorted(forms_of_it))

    def looked_through(self, whole: Any, actor: Actor) -> Any:
        """Return what the indexes leave of `whole` if they cannot answer all of it.

        None finds what is of a project, so below its address they never can.
        """
        asked = {name for name, value in self.form.cleaned_data.items() if value}
        served = INDEXED | (OF_OBJECT if asked >= OF_OBJECT else frozenset())
        if actor.project_id is not None:
            whole = whole.since_made(actor.project_id)
        elif asked <= served:
            return None
        for name in asked & served:
            whole = self.filters[name].filter(whole, self.form.cleaned_data[name])
        return whole


def selection_of(values: Mapping[str, Any], rows: Any) -> Selection:
    """Raises InvalidInput that names the first bad value."""
    selection = Selection(values, queryset=rows)
    if not selection.is_valid():
        name, problems = next(iter(selection.errors.items()))
        given = str(values.get(name, ""))[:100]
        raise InvalidInput(f"{name}={given!r}: {' '.join(problems)}")
    return selection
