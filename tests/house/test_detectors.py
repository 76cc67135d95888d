"""The checks themselves: each detector sees the bad sample and lets the good one pass."""

from __future__ import annotations

import ast

import pytest

from tests.house import detectors, pages, tree, wording

SAMPLES = [
    (detectors.signals, "from django.db.models.signals import post_save", "from django.db import models"),
    (detectors.signals, "from django.dispatch import receiver", "import django"),
    (detectors.network, "from requests.adapters import HTTPAdapter", "from channels_hub import http"),
    (detectors.network, "import urllib.request", "import urllib.parse"),
    (detectors.network, "from http import client", "from http import HTTPStatus"),
    (detectors.imports_inside_functions, "def f():\n    import os", "import os\ndef f(): pass"),
    (detectors.saves_without_fields, "row.save()", "row.save(update_fields=['a'])"),
    (detectors.state_writes, "conversation.state = 'bot'", "row.state = 'done'"),
    (detectors.state_writes, "a, seen.conversation.state = 1, 2", "state = seen.conversation.state"),
    (
        detectors.state_writes,
        "Conversation.objects.filter(pk=1).update(state='bot')",
        "Conversation.objects.filter(state='bot').update(unread=0)",
    ),
    (
        detectors.verbs_outside_moving,
        "def f(conversation):\n    conversation.claim(a, n)",
        "def f(pk):\n    with moving(pk) as conversation:\n        conversation.claim(a, n)",
    ),
    (
        detectors.calls_out_in_transaction,
        "with transaction.atomic():\n    adapter.send(part)",
        "with transaction.atomic():\n    row = claim()\nadapter.send(part)",
    ),
    (
        detectors.calls_out_in_transaction,
        "with writing(pk) as conversation:\n    http.get(url)",
        "http.get(url)",
    ),
    (
        detectors.personal_logs,
        "logger.info('from %s', contact.phone)",
        "logger.info('of %s', contact.pk)",
    ),
    (
        detectors.personal_logs,
        "logger.error('failed: %s', error)",
        "logger.error('failed: %s', type(error).__name__)",
    ),
    (
        detectors.tasks_with_more_than_ids,
        "@shared_task(acks_late=True)\ndef send(phone, text): pass",
        "@shared_task\ndef send(pk): pass",
    ),
    (detectors.trusting_html, "from django.utils.safestring import mark_safe", "format_html('{}', x)"),
    (
        detectors.csrf_exemptions,
        "from django.views.decorators.csrf import csrf_exempt",
        "from django.views.decorators.csrf import csrf_protect",
    ),
    (wording.concatenated, "_(f'Hello {name}')", "_('Hello %(name)s') % {'name': name}"),
]


@pytest.mark.parametrize(("detector", "bad", "good"), SAMPLES)
def test_a_detector_sees_the_bad_and_lets_the_good_pass(detector: tree.Detector, bad: str, good: str) -> None:
    assert list(detector(ast.parse(bad)))
    assert not list(detector(ast.parse(good)))


@pytest.mark.parametrize(
    "bad",
    [
        "<p onclick='go()'>",
        '<p style="color: red">',
        "<script>go()</script>",
        "<style>p {}</style>",
        "{{ text|safe }}",
        "{% autoescape off %}",
        '<a href="javascript:go()">',
    ],
)
def test_inline_script_and_style_are_seen(bad: str) -> None:
    assert list(pages.not_in_a_template(bad))


@pytest.mark.parametrize(
    "good",
    [
        '<script src="/static/a.js" defer></script>',
        '<p class="style" data-on="click">online="yes"</p>',
        '<script type="application/json" id="x">{}</script>',
        "{{ text|safe_enough }}",
        "{# style='x' and onclick='y' are not written here #}",
    ],
)
def test_a_decent_template_passes(good: str) -> None:
    assert not list(pages.not_in_a_template(good))


def test_texts_are_found_in_python_and_templates() -> None:
    code = (
        "from django.utils.translation import gettext as _, ngettext\n_('One' ' two')\nngettext('a', 'b', n)"
    )
    assert wording.texts_of_python(ast.parse(code)) == {("", "One two"), ("", "a")}
    page = "{% load i18n %}{% trans 'Hi' %}{% blocktranslate %}Dear {{ who }}{% endblocktranslate %}"
    assert wording.texts_of_template(page, "page.html") == {("", "Hi"), ("", "Dear %(who)s")}


def test_a_catalogue_is_read_with_contexts_plurals_and_fuzzy_marks() -> None:
    text = (
        'msgid ""\nmsgstr "Language: es\\n"\n\n'
        'msgctxt "c"\nmsgid "a"\n"b"\nmsgstr "x"\n\n'
        '#, fuzzy\nmsgid "f"\nmsgstr "y"\n\n'
        'msgid "n"\nmsgid_plural "ns"\nmsgstr[0] "1"\nmsgstr[1] ""\n'
    )
    assert wording.catalogue(text) == {
        ("", ""): ("Language: es\n",),
        ("c", "ab"): ("x",),
        ("", "f"): ("",),
        ("", "n"): ("1", ""),
    }
