"""The way in and out, and what a person prefers."""

from __future__ import annotations

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import authenticate, login, logout
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import translation
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import throttle
from accounts.middleware import membership_of
from accounts.roles import Action

YEAR = 365 * 24 * 3600
THEMES = ("auto", "light", "dark")
SEND_KEYS = ("enter", "ctrl-enter")


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """Everybody to the page they work on."""
    if request.member is None:
        return redirect("login")
    return redirect("admin:index" if request.member.may(Action.USE_ADMIN) else "inbox")


class LoginForm(forms.Form):
    email = forms.EmailField(
        label=gettext_lazy("E-mail"),
        widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True, "class": "field"}),
    )
    password = forms.CharField(
        label=gettext_lazy("Password"),
        strip=False,
        max_length=1024,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "class": "field"}),
    )


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "POST"])
def log_in(request: HttpRequest) -> HttpResponse:
    """E-mail and password. What is wrong is never said more exactly than that."""
    if request.member is not None:
        return redirect("home")
    form = LoginForm(request.POST or None)
    status, wait = 200, 0
    if request.method == "POST" and form.is_valid():
        address = request.META.get("REMOTE_ADDR", "")
        try:
            wait = throttle.count_try(form.cleaned_data["email"], address)
        except throttle.Unavailable:
            form.add_error(None, _("Logging in is not possible for a moment. Please try again shortly."))
            status = 503
        else:
            if not wait and _let_in(request, form, address):
                return redirect(_next(request))
            status = 429 if wait else 401
            form.add_error(None, _wrong(wait))
    response = render(
        request, "accounts/login.html", {"form": form, "next": request.GET.get("next", "")}, status=status
    )
    if wait:
        response.headers["Retry-After"] = str(wait)
    return response


def _wrong(wait: int) -> str:
    if wait:
        text = ngettext(
            "Too many attempts. Try again in %(n)d second.",
            "Too many attempts. Try again in %(n)d seconds.",
            wait,
        )
        return text % {"n": wait}
    return _("E-mail or password is not right.")


def _let_in(request: HttpRequest, form: LoginForm, address: str) -> bool:
    email, password = form.cleaned_data["email"], form.cleaned_data["password"]
    user = authenticate(request, email=email.strip().lower(), password=password)
    if user is None or membership_of(user) is None:
        return False
    throttle.forget(email, address)
    login(request, user)
    return True


def _next(request: HttpRequest) -> str:
    """Back to where the person was going, never to another site."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    safe = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return wanted if safe else settings.LOGIN_REDIRECT_URL


@require_POST
def log_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return redirect("login")


class PreferencesForm(forms.Form):
    language = forms.ChoiceField(
        label=gettext_lazy("Language"),
        choices=settings.LANGUAGES,
        widget=forms.Select(attrs={"class": "field"}),
    )
    theme = forms.ChoiceField(
        label=gettext_lazy("Theme"),
        choices=[
            ("auto", gettext_lazy("As the system")),
            ("light", gettext_lazy("Light")),
            ("dark", gettext_lazy("Dark")),
        ],
        widget=forms.RadioSelect,
    )
    send_key = forms.ChoiceField(
        label=gettext_lazy("Send messages with"),
        choices=[("enter", "Enter"), ("ctrl-enter", "Ctrl + Enter")],
        widget=forms.RadioSelect,
    )


@require_http_methods(["GET", "POST"])
def preferences(request: HttpRequest) -> HttpResponse:
    """The language belongs to the person; theme and send key to the browser they sit at."""
    if request.member is None:
        return redirect_to_login(request.get_full_path())
    form = PreferencesForm(
        request.POST or None,
        initial={
            "language": request.user.locale or translation.get_language(),
            "theme": _choice(request.COOKIES.get("theme"), THEMES),
            "send_key": _choice(request.COOKIES.get("send_key"), SEND_KEYS),
        },
    )
    if request.method == "POST" and form.is_valid():
        return _keep(request, form.cleaned_data)
    context = {"form": form, "member": request.member}
    return render(request, "accounts/preferences.html", context)


def _choice(value: str | None, allowed: tuple[str, ...]) -> str:
    return value if value in allowed else allowed[0]


def _keep(request: HttpRequest, chosen: dict[str, str]) -> HttpResponse:
    request.user.locale = chosen["language"]
    request.user.save(update_fields=["locale"])
    translation.activate(chosen["language"])
    messages.success(request, _("Saved."))
    response = redirect("preferences")
    same_site = {"max_age": YEAR, "samesite": "Lax", "secure": settings.SESSION_COOKIE_SECURE}
    response.set_cookie("theme", chosen["theme"], **same_site)
    response.set_cookie("send_key", chosen["send_key"], **same_site)
    response.set_cookie(settings.LANGUAGE_COOKIE_NAME, chosen["language"], **same_site)
    return response
