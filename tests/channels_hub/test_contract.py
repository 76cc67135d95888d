"""States, windows, texts and plans: the same for every channel."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels_hub.capabilities import CAPS, WINDOWS
from channels_hub.contract import (
    FINAL,
    RANK,
    Address,
    Capabilities,
    MediaRef,
    Option,
    OutMessage,
    State,
    Template,
    WindowMode,
    WindowRule,
    brazil_variants,
    clean,
    fit_options,
    measure,
    merge_state,
    plan_parts,
    retry_after,
    split_text,
    whole_message,
)

states = st.sampled_from(State)
ANA = Address("phone", "+5511987654321", "whatsapp:+5511987654321")


def fold(reports):
    current = State.PENDING
    for report in reports:
        current = merge_state(current, report)
    return current


# ------------------------------------------------------------------ states
@given(st.lists(states, max_size=12), st.randoms(use_true_random=False))
def test_reports_in_any_order_give_the_same_state(reports, rng):
    shuffled = [*reports, *reports[:3]]
    rng.shuffle(shuffled)
    assert fold(shuffled) == fold(reports)


@given(states, states, states)
def test_merging_is_commutative_associative_and_idempotent(a, b, c):
    assert merge_state(a, b) == merge_state(b, a)
    assert merge_state(merge_state(a, b), c) == merge_state(a, merge_state(b, c))
    assert merge_state(a, merge_state(a, b)) == merge_state(a, b)


@given(st.lists(states, min_size=1, max_size=12))
def test_a_state_only_rises(reports):
    ranks = [RANK[fold(reports[: n + 1])] for n in range(len(reports))]
    assert ranks == sorted(ranks)


@pytest.mark.parametrize(
    ("current", "incoming", "result"),
    [
        ("delivered", "sent", "delivered"),
        ("read", "failed", "read"),
        ("delivered", "failed", "delivered"),
        ("failed", "delivered", "delivered"),
        ("failed", "sent", "failed"),
        ("sent", "failed", "failed"),
        ("unknown", "queued", "queued"),
        ("unknown", "failed", "failed"),
        ("expired", "read", "read"),
        ("cancelled", "queued", "cancelled"),
        ("processing", "retrying", "retrying"),
    ],
)
def test_what_beats_what(current, incoming, result):
    assert merge_state(State(current), State(incoming)) == result


def test_every_order_of_a_real_life_is_read():
    for order in permutations(["queued", "sent", "delivered", "read"]):
        assert fold(State(one) for one in order) is State.READ


def test_final_states_are_the_settled_ones():
    assert {state.value for state in FINAL} == {"read", "failed", "expired", "cancelled"}


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        ([], "pending"),
        (["read", "sent"], "sent"),
        (["read", "failed", "pending"], "failed"),
        (["delivered", "unknown"], "unknown"),
        (["sent", "expired"], "expired"),
        (["read", "read"], "read"),
    ],
)
def test_a_split_message_shows_its_weakest_part(parts, whole):
    assert whole_message([State(part) for part in parts]) == whole


# ------------------------------------------------------------------ windows
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "hours", "mode"),
    [
        ("twilio_whatsapp", 23 + 50 / 60, WindowMode.OPEN),
        ("twilio_whatsapp", 24, WindowMode.TEMPLATE_ONLY),
        ("twilio_whatsapp", 24 - 1 / 60, WindowMode.TEMPLATE_ONLY),
        ("messenger", 30, WindowMode.HUMAN_ONLY),
        ("messenger", 24 * 7, WindowMode.CLOSED),
        ("twilio_sms", 24 * 365, WindowMode.OPEN),
    ],
)
def test_the_window_closes_with_two_minutes_to_spare(kind, hours, mode):
    assert WINDOWS[kind].mode(NOW - timedelta(hours=hours), NOW) is mode


def test_a_person_who_never_wrote_needs_a_template_and_an_ad_opens_the_window():
    rule = WindowRule(timedelta(hours=24))
    assert rule.mode(None, NOW) is WindowMode.TEMPLATE_ONLY
    assert rule.mode(None, NOW, entry_until=NOW + timedelta(hours=72)) is WindowMode.OPEN
    assert rule.closes_at(NOW) == NOW + timedelta(hours=23, minutes=58)
    assert rule.closes_at(None) is None
    assert WindowRule().closes_at(NOW) is None


# ------------------------------------------------------------------ texts
alphabet = st.sampled_from("aé \n.🇧🇷👍🏽\u0301\u200d漢")


@given(st.text(alphabet, max_size=300), st.integers(8, 60), st.sampled_from(["char", "utf16", "byte"]))
def test_splitting_loses_only_white_space_and_keeps_the_limit(text, limit, unit):
    pieces = split_text(text, limit, unit)
    assert all(0 < measure(piece, unit) <= limit for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


@pytest.mark.parametrize("visible", ["🇧🇷", "👍🏽", "e\u0301", "👩\u200d🚀"])
def test_a_visible_character_is_never_cut(visible):
    for unit in ("char", "utf16", "byte"):
        pieces = split_text(visible * 60, 33, unit)
        assert all(piece == visible * (len(piece) // len(visible)) for piece in pieces)


def test_paragraphs_come_before_sentences_before_words():
    assert split_text("um dois.\n\ntrês quatro", 15) == ["um dois.", "três quatro"]
    assert split_text("Um dois. Três quatro", 15) == ["Um dois.", "Três quatro"]
    assert split_text("   ", 10) == []
    with pytest.raises(ValueError, match="limit"):
        split_text("x", 7)


def test_what_the_database_cannot_store_is_replaced():
    assert clean("a\x00b\ud800c") == "a\ufffdb\ufffdc"


@pytest.mark.parametrize(
    ("digits", "spellings"),
    [
        ("5511987654321", ("5511987654321", "551187654321")),
        ("551187654321", ("5511987654321", "551187654321")),
        ("551130000000", ("551130000000",)),
        ("14155238886", ("14155238886",)),
    ],
)
def test_brazilian_mobiles_have_two_spellings(digits, spellings):
    assert brazil_variants(digits) == spellings


# ------------------------------------------------------------------ options and plans
WHATSAPP = CAPS["twilio_whatsapp"]


def options(count, title="Opção"):
    return tuple(Option(str(n), f"{title} {n}") for n in range(count))


@pytest.mark.parametrize(("count", "style"), [(3, "buttons"), (4, "list"), (10, "list"), (11, "text")])
def test_options_take_the_smallest_form_that_holds_them(count, style):
    assert fit_options(options(count), WHATSAPP)[0] == style


def test_titles_are_cut_and_stay_different():
    _style, fitted = fit_options(options(3, "Segunda via do boleto de"), WHATSAPP)
    titles = [option.title for option in fitted]
    assert len(set(titles)) == 3
    assert all(len(title) <= 20 for title in titles)


def test_descriptions_ask_for_a_list():
    assert fit_options((Option("a", "A", "mais"),), WHATSAPP)[0] == "list"


def test_a_channel_without_buttons_numbers_them():
    parts = plan_parts(OutMessage("r", ANA, text="Escolha:", options=options(2)), CAPS["twilio_sms"])
    assert [(part.text, part.options) for part in parts] == [("Escolha:\n1. Opção 0\n2. Opção 1", ())]


def test_a_caption_travels_with_its_picture_and_a_voice_note_has_none():
    picture, voice = MediaRef("image", url="https://x/1"), MediaRef("voice", url="https://x/2")
    assert len(plan_parts(OutMessage("r", ANA, text="Veja", media=(picture,)), WHATSAPP)) == 1
    parts = plan_parts(OutMessage("r", ANA, text="Ouça", media=(voice,)), WHATSAPP)
    assert [(len(part.media), part.text) for part in parts] == [(1, ""), (0, "Ouça")]


def test_long_text_over_buttons_leaves_the_buttons_last():
    parts = plan_parts(OutMessage("r", ANA, text="palavra " * 180, options=options(3)), WHATSAPP)
    assert [bool(part.options) for part in parts] == [False, True]
    assert len(parts[-1].text) <= 1024
    assert [part.client_ref for part in parts] == ["r:0", "r:1"]


def test_a_template_goes_alone_and_an_empty_message_not_at_all():
    template = Template("HX1", body={"1": "Ana"})
    assert len(plan_parts(OutMessage("r", ANA, text="ignored", template=template), WHATSAPP)) == 1
    assert plan_parts(OutMessage("r", ANA), WHATSAPP) == []


@given(st.text(max_size=200), st.integers(0, 4), st.integers(0, 12), st.booleans())
def test_a_plan_says_everything_once(text, pictures, count, place):
    media = tuple(MediaRef("image", url=f"https://x/{n}") for n in range(pictures))
    location = (-23.5, -46.6, "SP") if place else None
    message = OutMessage("r", ANA, text=text, media=media, options=options(count), location=location)
    parts = plan_parts(message, Capabilities(40, caption_limit=20, buttons=3, list_rows=10))
    assert [one for part in parts for one in part.media] == list(media)
    assert sum(part.location is not None for part in parts) == place
    assert sum(bool(part.options) for part in parts) == (0 < count <= 10)
    assert len({part.client_ref for part in parts}) == len(parts)


def test_retry_after_comes_in_two_forms():
    assert retry_after({"retry-after": "3"}) == 3
    assert retry_after({"retry-after": "Sat, 21 Nov 2026 12:00:30 GMT"}, NOW) == 30
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({}) is None


def test_capabilities_hold_the_documented_numbers():
    assert (WHATSAPP.text_limit, WHATSAPP.buttons, WHATSAPP.list_rows) == (1600, 3, 10)
    assert CAPS["instagram"].text_unit == "byte"
    assert set(WINDOWS) == set(CAPS)
