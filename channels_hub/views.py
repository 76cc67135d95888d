"""Files that a platform fetches from us by a signed link."""

from __future__ import annotations

from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe

from channels_hub import media, serving


@require_safe
def public_media(request: HttpRequest, token: str) -> HttpResponseBase:
    """The file behind a link that only we can make and that ends after a day; 404 for any other."""
    found = media.by_token(token)
    if found is None:
        raise Http404
    return serving.serve(request, found.file, found.mime or "application/octet-stream", found.sha256)
