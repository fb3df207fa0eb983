"""A superuser at the admin, whose requests run as the role that works for them."""

from __future__ import annotations

import time
from typing import Any

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from mlops.browsers import BEGAN, SEEN
from tenants.models import User
from tenants.tests.factories import UserFactory


class AdminClient(Client):
    """Requests run as app_maint: past row-level security, by its grants alone."""

    user: User

    def request(self, **request):
        with connection.cursor() as cursor:
            cursor.execute("SET ROLE app_maint")
        try:
            return super().request(**request)
        finally:
            with connection.cursor() as cursor:
                cursor.execute("RESET ROLE")

    def listed(self, model: str, **filters: Any):
        return self.get(reverse(f"admin:{model}_changelist"), filters)

    def opened(self, row: Any):
        return self.get(page_of(row))

    def statements(self, model: str, **filters: Any) -> int:
        """Count what the list costs; it must be there."""
        with CaptureQueriesContext(connection) as captured:
            response = self.listed(model, **filters)
        assert response.status_code == 200
        return len(captured)

    def act(self, action: str, *rows: Any, **more: str):
        """Choose an action for the rows; confirmed="1" answers its question."""
        model = rows[0]._meta
        address = reverse(f"admin:{model.app_label}_{model.model_name}_changelist")
        chosen = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
        return self.post(address, {**chosen, **more}, follow=True)


def page_of(row: Any, page: str = "change") -> str:
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_{page}"
    return reverse(name, args=[row.pk])


def superuser(**fields: Any) -> AdminClient:
    powers = {"is_staff": True, "is_superuser": True}
    return signed_in(UserFactory(**{"username": "root", **powers, **fields}))


def signed_in(user: Any) -> AdminClient:
    client = AdminClient()
    client.force_login(user)
    client.user = user
    # What every process knows after a while; emptying tables makes it forget.
    ContentType.objects.get_for_models(*apps.get_models())
    # As after its first request, which alone writes down that the session was seen.
    session = client.session
    session[BEGAN] = session[SEEN] = int(time.time())
    session.save()
    return client


def shown(response: Any) -> str:
    """The page's text, with entities and tags as they are."""
    return response.content.decode()


def rows_of(response: Any) -> list[Any]:
    """The rows of a list, as it shows them."""
    return list(response.context["cl"].result_list)


def messages_of(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]
