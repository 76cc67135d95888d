"""Files that a platform fetches from us by a signed link."""

from __future__ import annotations

from django.http import FileResponse, Http404, HttpRequest
from django.views.decorators.http import require_safe

from channels_hub import media


@require_safe
def public_media(request: HttpRequest, token: str) -> FileResponse:
    """The file behind a link that only we can make and that ends after a day; 404 for any other."""
    found = media.by_token(token)
    if found is None:
        raise Http404
    response = FileResponse(found.file.open("rb"), content_type=found.mime or "application/octet-stream")
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["Cache-Control"] = "private, max-age=86400"
    return response
