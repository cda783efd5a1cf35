"""The pages that people see: logging in and out, sending files, and getting them zipped."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.generic import TemplateView

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; worker-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing but this service's own files, and nothing written into the page itself."""


class Page(View):
    """What all pages share: what they may load is told to the browser."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer, under the policy."""
        response = super().dispatch(request, *args, **kwargs)
        response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        return response


class LoginPage(Page, LoginView):
    """Log in, and go on to where the visitor was sent from, on this site only, or to the upload page."""

    template_name = "transfers/login.html"
    next_page = "upload-page"


class LogoutPage(LogoutView):
    """Log out, by POST only, and show the login page."""

    next_page = "login"


@method_decorator((never_cache, ensure_csrf_cookie), "dispatch")
class UploadPage(Page, LoginRequiredMixin, TemplateView):
    """Send files from the browser; `static/transfers/upload/page.js` does it."""

    template_name = "transfers/upload.html"
    login_url = "login"


@method_decorator((never_cache, ensure_csrf_cookie), "dispatch")
class ListPage(Page, LoginRequiredMixin, TemplateView):
    """Pick files and have them zipped; `static/transfers/list/page.js` does it."""

    template_name = "transfers/list.html"
    login_url = "login"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """What the page must know of the settings: the bytes that one zip may have."""
        return super().get_context_data(max_bytes=settings.ENVIRONMENT.order_max_bytes, **kwargs)
