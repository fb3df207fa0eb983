"""What all view sets of REST share: who asks, within which project, how strictly."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import (
    BaseSerializer,
    CharField,
    DateTimeField,
    Serializer,
    UUIDField,
)
from rest_framework.viewsets import GenericViewSet

from mlops.api.parsing import content_length, read_query
from mlops.errors import InvalidInput
from tenants.context import Actor, say_why
from tenants.models import Organization, Project
from tenants.permissions import demand_maintainer


class OnlyJSON(BaseContentNegotiation):
    """Answer JSON whatever was asked for, so that a browser sees something, too."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        sent = (request.content_type or "").partition(";")[0].strip().lower()
        return next((p for p in parsers if p.media_type == sent), None)

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[Any, str]:
        return renderers[0], renderers[0].media_type


class StrictFilters(DjangoFilterBackend):
    """Refuse a bad filter value by name instead of ignoring it."""

    def filter_queryset(self, request: Request, queryset: Any, view: Any) -> Any:
        filterset = self.get_filterset(request, queryset, view)
        if filterset is None:
            return queryset
        if not filterset.is_valid():
            name, problems = next(iter(filterset.errors.items()))
            given = request.query_params.get(name, "")[:100]
            raise InvalidInput(f"{name}={given!r}: {' '.join(problems)}")
        return filterset.qs


class TenantViewSet(GenericViewSet):
    """Base of all view sets: `needs` names the permission of each action.

    The query set begins with what the actor may see; a row outside of it is not found,
    in the words of one that never existed. Writes go through services, in `perform_…`.
    """

    needs: ClassVar[dict[str, str]] = {}
    # Whether an answer to a POST is for this once: it is not kept to be repeated.
    shows_secrets: ClassVar[bool] = False
    # Query parameters that an action takes beside filters and paging.
    parameters: ClassVar[dict[str, frozenset[str]]] = {}
    content_negotiation_class = OnlyJSON
    filter_backends = [StrictFilters]

    @property
    def actor(self) -> Actor:
        return self.request.user  # type: ignore[return-value]

    @property
    def organization(self) -> Organization:
        """The bound organization by its id; its row is not read."""
        return Organization(pk=self.actor.organization_id, slug=self.actor.organization)

    @property
    def project(self) -> Project:
        """The project of the address by its id; its row is not read."""
        return Project(
            pk=self.actor.project_id,
            slug=self.actor.project,
            organization=self.organization,
        )

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        content_length(request.META)
        read_query(request._request)
        self._refuse_unknown_parameters(request)

    def _refuse_unknown_parameters(self, request: Request) -> None:
        known = self._known_parameters()
        for name, values in request.query_params.lists():
            if name not in known:
                choice = ", ".join(sorted(known)) or "none"
                raise InvalidInput(
                    f"Unknown query parameter {name[:50]}={values[0][:50]!r};"
                    f" there are: {choice}."
                )
            if len(values) > 1:
                raise InvalidInput(f"Query parameter {name} is given twice; send one.")
            if not values[0] and name not in self.parameters.get(self.action, ()):
                raise InvalidInput(f"{name}='' is empty; leave it out or say a value.")

    def _known_parameters(self) -> set[str]:
        known = set(self.parameters.get(self.action, ()))
        if self.action == "list":
            filterset = getattr(self, "filterset_class", None)
            known |= set(filterset.base_filters) if filterset else set()
            known |= {"limit", "cursor"} if self.paginator else set()
        return known

    def get_queryset(self) -> Any:
        rows = super().get_queryset()
        describing = getattr(self, "swagger_fake_view", False)
        return rows if describing else self.within_reach(rows)

    def within_reach(self, rows: Any) -> Any:
        return rows.visible_to(self.actor)

    def asked(self, kind: type[BaseSerializer]) -> dict[str, Any]:
        """Read the body of an action that has a shape of its own."""
        serializer = kind(data=self.request.data)
        serializer.is_valid(raise_exception=True)
        return changes_of(serializer)

    def get_object(self) -> Any:
        value = self.kwargs[self.lookup_url_kwarg or self.lookup_field]
        return self.get_queryset().fetch(**{self.lookup_field: value})


class ProjectViewSet(TenantViewSet):
    """Base of what lives in a project, which the address names."""

    def within_reach(self, rows: Any) -> Any:
        return rows.in_project(self.actor.project_id)

    def referred(self, rows: Any, key: UUID | None) -> Any:
        """Fetch what a body refers to by id, in this project only; None stays None."""
        if key is None:
            return None
        return rows.in_project(self.actor.project_id).fetch(pk=key)


class ReadMixin(mixins.ListModelMixin, mixins.RetrieveModelMixin):
    """List and detail."""


class ChangeMixin:
    """PATCH alone: a PUT would have to say what becomes of fields left out."""

    def partial_update(
        self: Any, request: Request, *args: Any, **kwargs: Any
    ) -> Response:
        row = self.get_object()
        serializer = self.get_serializer(row, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        self.perform_update(serializer)
        return Response(serializer.data)


CASCADE = OpenApiParameter(
    "cascade",
    enum=["up"],
    description="`up`: restore what this belongs to first, if that is deleted.",
)


class RestoreMixin(mixins.DestroyModelMixin):
    """DELETE marks, POST …/restore/ takes the mark away again.

    With `?cascade=up` a maintainer restores the deleted parent first, where there is
    one: see `restore_parent`.
    """

    @extend_schema(request=None, parameters=[CASCADE])
    @action(detail=True, methods=["post"])
    def restore(self: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        row = self.with_live_parent(self.get_object())
        self.perform_restore(row)
        return Response(self.get_serializer(row).data)

    def with_live_parent(self: Any, row: Any) -> Any:
        cascade = self.request.query_params.get("cascade")
        if cascade is None:
            return row
        if cascade != "up":
            raise InvalidInput(f"cascade={cascade[:50]!r}: the one way to go is up.")
        demand_maintainer(self.actor, "Restoring what it belongs to")
        self.restore_parent(row)
        return self.get_object()

    def restore_parent(self, row: Any) -> None:
        """Restore what the row belongs to, which may bring the row back by itself."""

    def perform_restore(self, row: Any) -> None:
        raise NotImplementedError

    def _known_parameters(self: Any) -> set[str]:
        known: set[str] = super()._known_parameters()  # type: ignore[misc]
        return known | {"cascade"} if self.action == "restore" else known


class PurgeSerializer(Serializer):
    confirm = CharField(
        max_length=500, help_text="The name of what is to be purged, typed once more."
    )
    reason = CharField(max_length=500, help_text="Why; the audit trail keeps it.")


class PurgedSerializer(Serializer):
    id = UUIDField()
    purge_after = DateTimeField()


class PurgeMixin:
    """POST …/purge/ has the next purge remove what is deleted already, for good."""

    @extend_schema(request=PurgeSerializer, responses={202: PurgedSerializer})
    @action(detail=True, methods=["post"])
    def purge(self: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Nothing brings it back after that. Until it has begun, a restore still does.

        409 while it is not deleted, while the organization is on legal hold, and while
        a model version or a deployment refers to it.
        """
        row, asked = self.get_object(), self.asked(PurgeSerializer)
        say_why(asked["reason"])
        self.perform_purge(row, asked["confirm"])
        shown = PurgedSerializer(row).data
        return Response(shown, status=status.HTTP_202_ACCEPTED)

    def perform_purge(self, row: Any, confirm: str) -> None:
        raise NotImplementedError


def changes_of(serializer: BaseSerializer) -> dict[str, Any]:
    """Return what the body asks to change."""
    return dict(serializer.validated_data)
