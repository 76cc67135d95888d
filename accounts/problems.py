"""Every refusal of the API in one shape: application/problem+json (RFC 9457)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import IntegrityError, OperationalError
from django.db.models import ProtectedError, RestrictedError
from django.http import Http404
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions, serializers
from rest_framework.response import Response
from rest_framework.serializers import as_serializer_error

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
# SQLSTATE: lock time-out, deadlock, serialization failure, statement time-out.
BUSY = {"55P03", "40P01", "40001", "57014"}


class Problem(exceptions.APIException):
    """A refusal with a code that programs can read; `more` stands beside the common members."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: Any = None,
        *,
        wait: float | None = None,
        errors: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        self.status_code, self.more = status, more
        self.errors = dict(errors or {})
        if wait is not None:
            self.wait = wait  # becomes Retry-After
        super().__init__(detail or HTTPStatus(status).phrase, code)


class ProblemSerializer(serializers.Serializer[Any]):
    """The shape of every refusal."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField()
    errors = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))


def problem(error: Exception, context: Mapping[str, Any]) -> Response:
    """The answer to any exception of a view (settings: EXCEPTION_HANDLER)."""
    known = _known(error)
    if known is None:
        logger.error("the API failed: %s", type(error).__name__, exc_info=error)
        known = Problem(500, "error", _("Something went wrong on our side."))
    code, detail, errors = _wording(known)
    body = {
        "type": "about:blank",
        "title": HTTPStatus(known.status_code).phrase,
        "status": known.status_code,
        "detail": detail,
        "code": code,
        "errors": errors,
        **getattr(known, "more", {}),
    }
    return Response(body, status=known.status_code, headers=_headers(known), content_type=CONTENT_TYPE)


def _known(error: Exception) -> exceptions.APIException | None:
    match error:
        case exceptions.APIException():
            return error
        case Http404():
            return exceptions.NotFound()
        case PermissionDenied():
            return exceptions.PermissionDenied()
        case DjangoValidationError():
            return exceptions.ValidationError(as_serializer_error(error))
        case RequestDataTooBig():
            return Problem(413, "too_large", _("The body is too large."))
        case ProtectedError() | RestrictedError():
            return Problem(409, "conflict", _("Other objects still use this one."))
        case IntegrityError():
            return Problem(409, "conflict", _("Somebody saved an equal object just now."))
        case OperationalError() if getattr(error.__cause__, "sqlstate", "") in BUSY:
            return Problem(503, "busy", _("Somebody is working on the same object; try again."), wait=1)
    return None


def _wording(error: exceptions.APIException) -> tuple[str, str, dict[str, list[str]]]:
    if isinstance(error, exceptions.ValidationError):
        errors: dict[str, list[str]] = {}
        for field, text in _flat(error.detail):
            errors.setdefault(field, []).append(text)
        return "invalid", "; ".join(f"{k}: {v[0]}" for k, v in errors.items()), errors
    code = error.get_codes()
    errors = {str(k): [str(text) for text in v] for k, v in getattr(error, "errors", {}).items()}
    return (code if isinstance(code, str) else error.default_code), str(_text(error.detail)), errors


def _text(detail: Any) -> Any:
    return detail.get("detail", "") if isinstance(detail, Mapping) else detail


def _flat(detail: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Field and sentence pairs; the fields of nested objects are joined by dots."""
    if isinstance(detail, Mapping):
        for key, value in detail.items():
            yield from _flat(value, f"{path}.{key}" if path else str(key))
    elif isinstance(detail, list | tuple):
        for index, value in enumerate(detail):
            nested = isinstance(value, Mapping | list)
            yield from _flat(value, f"{path}.{index}" if nested and path else path)
    else:
        yield path or "non_field_errors", str(detail)


def _headers(error: exceptions.APIException) -> dict[str, str]:
    headers = {}
    if header := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = header
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait + 0.999))
    return headers
