"""Where anybody who has found a token, such as a secret scanner, has it revoked."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mlops import throttles
from mlops.addresses import origin_of
from mlops.telemetry import line_of
from tenants.api.base import OnlyJSON
from tenants.api.serializers import TokenLeakSerializer
from tenants.services import tokens


class TokenLeakView(APIView):
    authentication_classes = ()
    permission_classes = ()
    content_negotiation_class = OnlyJSON

    @extend_schema(
        operation_id="report_token_leak",
        request=TokenLeakSerializer,
        responses={204: None},
        auth=[],
    )
    def post(self, request: Request) -> Response:
        """Revoke a token that was found where it should not be.

        The answer is the same whether or not it was one.
        """
        throttles.take("token_leak", origin_of(request))
        serializer = TokenLeakSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        text = serializer.validated_data["token"]
        request_line: str = line_of(request._request)
        tokens.report_leak(text, request_line=request_line)
        return Response(status=status.HTTP_204_NO_CONTENT)


report = TokenLeakView.as_view()
report.public = True  # type: ignore[attr-defined]
