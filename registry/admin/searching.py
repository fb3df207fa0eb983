"""The search box of a list: plain words as everywhere, or a filter of the language."""

from __future__ import annotations

import re

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest

from mlops.errors import InvalidInput
from registry.search.fields import RUNS, Table
from registry.search.searches import Search
from tenants.admin import TenantAdmin

# What plain words seldom hold, and a filter always.
COMPARES = re.compile(
    r"[<>=]|\b(?:i?like\s*['\"]|is\s+(?:not\s+)?null|in\s*\()", re.IGNORECASE
)


class SearchedByFilter(TenantAdmin):
    """Base of an admin whose rows the search language knows as `table`.

    Like words, a filter is looked for among the newest rows that are listed.
    """

    table: Table

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        search = self.read_filter(request, search_term)
        if search is None:
            return super().get_search_results(request, queryset, search_term)
        newest = queryset.order_by("-pk")[: self.searched]
        rows = queryset.filter(pk__in=newest.values("pk"))
        # Values of runs are found by the experiments that they belong to.
        within = newest.values("experiment_id") if self.table is RUNS else None
        return search.restrict(rows, within=within), False

    def read_filter(self, request: HttpRequest, text: str) -> Search | None:
        """Return what the text filters by; words that are no filter filter by nothing.

        Where the text looks like a filter, whoever wrote it is told what is wrong.
        """
        if not COMPARES.search(text):
            return None
        try:
            return Search.of(self.table, text, shows_hidden=True)
        except InvalidInput as error:
            if self.is_list(request):
                notice = f"Searched for the words: as a filter, {error.message}"
                messages.warning(request, notice)
            return None

    def is_list(self, request: HttpRequest) -> bool:
        """Whether the page is the list itself, and not a field that completes names."""
        match = request.resolver_match
        return match is not None and str(match.url_name).endswith("_changelist")
