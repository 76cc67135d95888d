"""Addresses of the admin, and what a page said."""

from __future__ import annotations

from typing import Any

from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse


def page(model: type, name: str, *args: Any) -> str:
    """The address of a model's changelist, add, change, history, delete page or of one of its acts."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


def act(client: Client, obj: Any, name: str, **data: Any) -> list[str]:
    """Answer the dialog of an act on an object; what the person is told."""
    response = client.post(page(type(obj), name, obj.pk), {"_form_submitted": "on", **data})
    assert response.status_code == 302, response.content.decode()[:2000]
    return [str(one) for one in get_messages(response.wsgi_request)]


def form_data(response: Any) -> dict[str, Any]:
    """What a browser would send back from a change form, inlines included."""
    forms = [response.context["adminform"].form]
    for one in response.context["inline_admin_formsets"]:
        forms += [one.formset.management_form, *one.formset.forms]
    data: dict[str, Any] = {}
    for form in forms:
        for name in form.fields:
            value = form[name].value()
            if value is not None and value is not False:
                data[form.add_prefix(name)] = value
    return data


def said(response: Any) -> list[str]:
    return [str(one) for one in get_messages(response.wsgi_request)]
