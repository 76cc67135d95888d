import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.render import MAX_OUTPUT, TemplateError, render, render_reporting, variables_of

TAMPERING = [
    "{% include 'settings.py' %}",
    "{% render 'settings.py' %}",
    "{% liquid\ninclude 'x' %}",
    "{{ x | safe }}",
    "{% for i in (1..999999999) reversed %}x{% endfor %}",
    "{{ d | date: '%999999999d' }}",
    "{{ 'aaaaaaaaaaaaaaaaaaaa' " + "| replace: 'a', 'aaaaaaaaaaaaaaaaaaaa' " * 20 + "}}",
    "{{ 9 " + "| times: 999999999999999999 " * 100 + "}}",
    "{% assign x = 'aaaaaaaaaa' %}{% for i in many %}{% assign x = x | append: x %}{% endfor %}",
    "{% for i in many %}{% for j in many %}{% for k in many %}x{% endfor %}{% endfor %}{% endfor %}",
    "{% if a %}" * 40 + "x" + "{% endif %}" * 40,
]


def test_variables_are_filled_in():
    assert render("Oi {{ contact.name }}!", {"contact": {"name": "Ana"}}) == "Oi Ana!"


def test_missing_variables_leave_nothing_and_are_reported():
    text, missing = render_reporting("Oi {{ contact.name }}{{ order_id }}.", {"contact": {}})
    assert text == "Oi ."
    assert missing == ("contact.name", "order_id")


def test_a_missing_variable_with_a_default_is_not_reported():
    assert render_reporting("{{ x | default: 'tudo' }}", {}) == ("tudo", ())
    assert render_reporting("{% if x %}a{% endif %}", {}) == ("", ())


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        ("{% if c.name %}yes{% endif %}", ""),
        ("{% unless c.name %}no{% endunless %}", "no"),
        ("{% if c.name and c.age %}yes{% endif %}", ""),
        ("{% if c.name or c.age %}yes{% endif %}", "yes"),
        ("{% if c.name == blank %}blank{% endif %}", "blank"),
        ("{% if c.name == '' %}empty{% endif %}", "empty"),
        ("{% if c.age > 18 %}adult{% endif %}", "adult"),
        ("{% if c.age < 5 %}child{% else %}other{% endif %}", "other"),
    ],
)
def test_conditions_read_as_people_mean_them(template, rendered):
    assert render(template, {"c": {"name": "", "age": "40"}}) == rendered


@settings(deadline=None)
@given(st.text(alphabet="{}%|x '\"", max_size=40))
def test_a_value_with_braces_is_never_expanded(value):
    assert render("<{{ v }}>", {"v": value, "x": "LEAK"}) == f"<{value}>"


PIECES = (
    *(
        "{{",
        "}}",
        "{%",
        "%}",
        "if",
        "endif",
        "for",
        "endfor",
        "in",
        "x",
        "contact.name",
        "|",
        "upcase",
        "raw",
    ),
    *("'", '"', "(1..3)", "assign", "=", "==", ">", "1", ".", "[", "]", "-", "#", " ", "\n"),
)


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=20).map(" ".join) | st.text(max_size=60))
def test_any_text_either_renders_or_is_refused_by_name(template):
    refused = ""
    try:
        rendered = render(template, {"contact": {"name": "Ana"}})
    except TemplateError as error:
        rendered, refused = "", str(error)
    assert isinstance(rendered, str)
    assert not (refused and rendered)


@pytest.mark.parametrize("template", TAMPERING)
def test_tampering_is_refused_at_once(template):
    begun = time.perf_counter()
    with pytest.raises(TemplateError):
        render(template, {"x": "1", "d": "2026-01-01", "many": list(range(50)), "a": 1})
    assert time.perf_counter() - begun < 1


@pytest.mark.parametrize(
    "template", ["{{ c.__class__ }}", "{{ c['__class__'] }}", "{{ c.keys }}", "{{ c.clear }}"]
)
def test_templates_reach_values_never_objects(template):
    context = {"c": {"name": "Ana"}}
    assert render(template, context) == ""
    assert context == {"c": {"name": "Ana"}}


def test_a_long_answer_cannot_be_multiplied():
    with pytest.raises(TemplateError, match="too long"):
        render("{{ v | replace: 'a', w }}", {"v": "a" * 60_000, "w": "b" * 60_000})


def test_output_is_capped():
    assert len(render("{{ v }}{{ v }}", {"v": "x" * 100_000})) == MAX_OUTPUT
    assert len(render("y" * 9000, {})) == MAX_OUTPUT


def test_the_clock_is_never_read():
    assert render("{{ now }}{{ 'now' | date: '%Y' }}", {}) == "now"
    assert render("{{ now | date: '%d/%m/%Y' }}", {"now": "2026-11-20"}) == "20/11/2026"


def test_an_unknown_filter_is_found_without_rendering():
    with pytest.raises(TemplateError, match="nope"):
        variables_of("{% if false %}{{ x | nope }}{% endif %}")


def test_the_variables_of_a_template_are_those_from_outside():
    template = "{% assign a = b %}{{ a }}{{ contact.name }}{% for i in items %}{{ i }}{% endfor %}"
    assert set(variables_of(template)) == {"b", "contact", "items"}
    assert variables_of("sem variáveis") == ()
