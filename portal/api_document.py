"""The OpenAPI document and its page: built once in each process and language, and revalidated by ETag."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils import translation
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.decorators import method_decorator
from django.views.decorators.http import conditional_page
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response

RENDERERS = {"json": OpenApiJsonRenderer, "yaml": OpenApiYamlRenderer}
LANGUAGES = dict(settings.LANGUAGES)


# One document for each language and format. Simultaneous first requests may build it twice, with the same result.
@lru_cache(maxsize=2 * len(LANGUAGES))
def build_document(language: str, form: str) -> bytes:
    """Return the document as bytes of JSON or YAML. Building it takes a third of a second."""
    with translation.override(language):
        document = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
        document_text: str | bytes = RENDERERS[form]().render(document, renderer_context={})
    return document_text.encode() if isinstance(document_text, str) else document_text


def allow_public_caching(response: HttpResponseBase) -> None:
    """Allow shared caches to store a response that is the same for all users, if they revalidate its ETag each time."""
    patch_cache_control(response, public=True, no_cache=True)
    patch_vary_headers(response, ("Accept", "Accept-Language", "Cookie"))


@method_decorator(conditional_page, name="dispatch")
class DocumentView(SpectacularAPIView):
    """The OpenAPI document in YAML or JSON, by content negotiation. It is public, so requests are not authenticated."""

    authentication_classes = []

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Return the document in the language `lang`, or else in the language of the request."""
        requested = request.GET.get("lang", "")
        language = requested if requested in LANGUAGES else translation.get_language()
        renderer = request.accepted_renderer
        form = "json" if "json" in renderer.format else "yaml"
        response = HttpResponse(
            build_document(language if language in LANGUAGES else settings.LANGUAGE_CODE, form),
            content_type=f"{renderer.media_type}; charset=utf-8",
            headers={"Content-Disposition": f'inline; filename="portal-api.{form}"'},
        )
        allow_public_caching(response)
        return response


@method_decorator(conditional_page, name="dispatch")
class ApiDocsView(SpectacularSwaggerSplitView):
    """Swagger UI. Its script is a separate file, because the Content-Security-Policy allows no inline scripts and styles."""

    authentication_classes = []
    template_name = "portal/api_docs.html"

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return the page, or with `script` its script, which contains the user's CSRF token and must not be cached."""
        response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
        if "script" not in request.GET:
            allow_public_caching(response)
        return response
