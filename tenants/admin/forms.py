"""Fields of the forms by which staff add rows to an organization."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelect
from django.db.models import QuerySet

from tenants.models import Membership, Organization, ServiceAccount


class OrganizationField(forms.ModelChoiceField):
    """An organization that is not deleted, chosen by typing."""

    def __init__(self, **kwargs: Any) -> None:
        relation = ServiceAccount._meta.get_field("organization")
        widget = AutocompleteSelect(relation, admin.site)
        live = Organization.objects.all()
        super().__init__(live, label="Organization", widget=widget, **kwargs)


class ChosenField(forms.ModelChoiceField):
    """A row of the model behind a foreign key, chosen by typing."""

    def __init__(self, rows: QuerySet, relation: Any, **kwargs: Any) -> None:
        widget = AutocompleteSelect(relation, admin.site)
        super().__init__(rows, widget=widget, **kwargs)


def person_field(**kwargs: Any) -> ChosenField:
    relation = Membership._meta.get_field("user")
    people = relation.related_model._default_manager.filter(is_active=True)
    return ChosenField(people, relation, **kwargs)
