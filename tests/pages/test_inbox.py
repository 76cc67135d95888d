"""The inbox pages: what they show, to whom, and at what cost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.urls import reverse
from django.utils import timezone

from accounts.roles import Role
from channels_hub.models import MediaFile
from conversations import handoff, outbox
from conversations.models import Attachment, Conversation, State
from conversations.moves import writing
from queues.models import AgentProfile
from tests.conftest import new_channel, new_member

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[2]
HTMX = {"HX-Request": "true"}
JSON = {"Accept": "application/json"}


def text(response) -> str:
    return response.content.decode()


# ---------------------------------------------------------------- who gets where
@pytest.mark.parametrize(
    "name, where", [("ana", "/inbox/"), ("vic", "/inbox/"), ("sofia", "/admin/"), ("olivia", "/admin/")]
)
def test_the_start_page_sends_everybody_to_their_work(name, where, log_in, request):
    assert log_in(request.getfixturevalue(name)).get("/").url == where


def test_strangers_are_sent_to_the_log_in_and_scripts_told_401(client):
    assert client.get("/inbox/").url == "/login/?next=/inbox/"
    assert client.get("/live/sync").status_code == 401
    assert client.post("/inbox/pull/", headers=HTMX).status_code == 401


URLS = ["inbox-thread", "inbox-earlier", "inbox-transfer", "inbox-release"]
POSTS = [
    "inbox-reply",
    "inbox-note",
    "inbox-seen",
    "inbox-typing",
    "inbox-claim",
    "inbox-transfer",
    "inbox-release",
    "inbox-close",
]


def test_another_organizations_conversation_does_not_exist(log_in, rival_agent, ana, make_conversation):
    conversation = make_conversation("human_handoff", agent=ana)
    outsider = log_in(rival_agent)

    assert {outsider.get(reverse(n, args=[conversation.pk])).status_code for n in URLS} == {404}
    answers = {outsider.post(reverse(n, args=[conversation.pk]), {"text": "x"}).status_code for n in POSTS}
    assert answers == {404}


def test_an_agent_does_not_see_a_colleagues_conversation(log_in, ana, bia, make_conversation):
    conversation = make_conversation("human_handoff", agent=bia)

    assert log_in(ana).get(reverse("inbox-thread", args=[conversation.pk])).status_code == 404
    assert log_in(bia).get(reverse("inbox-thread", args=[conversation.pk])).status_code == 200


def test_a_viewer_reads_everything_and_does_nothing(log_in, vic, ana, make_conversation):
    conversation = make_conversation("human_handoff", agent=ana)
    viewer = log_in(vic)
    page = text(viewer.get(reverse("inbox-thread", args=[conversation.pk])))

    assert 'data-mode="read_only"' in page
    assert "textarea" not in page
    assert {viewer.post(reverse(n, args=[conversation.pk]), {"text": "x"}).status_code for n in POSTS} == {
        403
    }


def test_only_supervisors_take_over(log_in, ana, sofia, bia, make_conversation):
    conversation = make_conversation("human_handoff", agent=bia)
    url = reverse("inbox-take-over", args=[conversation.pk])

    assert log_in(ana).post(url).status_code == 403
    assert log_in(sofia).post(url).status_code == 302
    assert Conversation.objects.get(pk=conversation.pk).assigned_agent == sofia


# ---------------------------------------------------------------- cost
@pytest.mark.parametrize("rows", [5, 60])
def test_the_list_costs_the_same_for_5_and_60_rows(
    rows, log_in, sofia, ana, support, make_conversation, django_assert_max_num_queries
):
    for _ in range(rows):
        make_conversation("queued", queue=support)
    for member in (sofia, ana):
        client = log_in(member)
        with django_assert_max_num_queries(12):
            page = text(client.get("/inbox/?tab=queue"))
        assert page.count('<li id="row-') == min(rows, 30)


@pytest.mark.parametrize("messages", [3, 39])
def test_a_thread_costs_the_same_for_few_and_many_messages(
    messages, log_in, ana, make_conversation, write_in, django_assert_max_num_queries
):
    conversation = make_conversation("human_handoff", agent=ana)
    for n in range(messages):
        write_in(conversation, f"m{n}")
    client = log_in(ana)
    url = reverse("inbox-thread", args=[conversation.pk])
    with django_assert_max_num_queries(15):
        client.get(url)
    with django_assert_max_num_queries(10):
        client.get(url, headers={**HTMX, "HX-Target": "div#open"})


def test_files_of_a_thread_cost_one_query(
    log_in, acme, ana, make_conversation, write_in, django_assert_max_num_queries
):
    conversation = make_conversation("human_handoff", agent=ana)
    for n in range(4):
        message = write_in(conversation, f"m{n}", kind="image")
        media = MediaFile.objects.create(
            organization=acme, account=conversation.channel, kind="image", filename=f"{n}.png"
        )
        Attachment.objects.create(organization=acme, message=message, media=media)
    client = log_in(ana)
    with django_assert_max_num_queries(16):
        client.get(reverse("inbox-thread", args=[conversation.pk]))


# ---------------------------------------------------------------- narrowed to what an alert is about
def listed_pks(client, query: str) -> set[str]:
    return set(re.findall(r'<li id="row-([-0-9a-f]{36})"', text(client.get(f"/inbox/?{query}"))))


def test_a_list_is_narrowed_to_a_queue_an_agent_or_an_alert(
    log_in, sofia, ana, support, make_queue, make_conversation
):
    here, there = (make_conversation("queued", queue=q) for q in (support, make_queue("geral")))
    taken, lost = make_conversation("human_handoff", agent=ana), make_conversation("pending")
    Conversation.objects.filter(pk=here.pk).update(sla_breached_at=timezone.now())
    with writing(there.pk) as calls:
        calls.log("attention", {"why": "waiting too long"})
    client = log_in(sofia)

    for query, found in (
        (f"tab=queue&only=queue:{support.pk}", here),
        (f"tab=all&only=agent:{ana.pk}", taken),
        ("tab=all&only=late", here),
        (f"tab=all&only=late:{support.department.slug}", here),
        ("tab=all&only=attention", there),
        ("tab=all&only=unhandled", lost),
    ):
        assert listed_pks(client, query) == {str(found.pk)}, query
    assert listed_pks(client, "tab=all&only=late:other") == set()
    assert len(listed_pks(client, "tab=all&only=queue:%27")) == 4  # not ours: not narrowed


def test_a_narrowed_list_says_to_what_and_names_nobody_of_others(log_in, sofia, support, rival_agent):
    client = log_in(sofia)

    assert "Suporte</span>" in text(client.get(f"/inbox/?tab=all&only=queue:{support.pk}"))
    assert "Rita" not in text(client.get(f"/inbox/?tab=all&only=agent:{rival_agent.pk}"))


# ---------------------------------------------------------------- the list
def test_the_next_page_of_the_list_goes_on_where_the_first_ended(log_in, ana, support, make_conversation):
    made = {str(make_conversation("queued", queue=support, priority=p).pk) for p in [10, 50, 80, 100] * 9}
    client = log_in(ana)
    first = text(client.get("/inbox/rows/?tab=queue"))
    more = re.search(r'hx-get="([^"]+)"[^>]*hx-target="#more"', first)[1].replace("&amp;", "&")
    second = text(client.get(more))
    ids = re.findall(r'id="row-([^"]+)"', first + second)

    assert len(ids) == 36
    assert set(ids) == made


def test_a_search_finds_name_number_and_last_message(log_in, ana, make_conversation, make_contact, write_in):
    found = make_conversation("human_handoff", agent=ana, contact=make_contact("Zuleica", "+5511987651234"))
    make_conversation("human_handoff", agent=ana)
    write_in(found, "quero trocar o tamanho")

    for q in ("zulei", "8765-1234", "trocar"):
        page = text(log_in(ana).get("/inbox/rows/", {"tab": "mine", "q": q}))
        assert re.findall(r'id="row-([^"]+)"', page) == [str(found.pk)], q


def test_names_of_customers_are_shown_as_text_never_as_markup(
    log_in, ana, make_conversation, make_contact, write_in
):
    evil = "<script>alert(1)</script>"
    conversation = make_conversation("human_handoff", agent=ana, contact=make_contact(evil))
    write_in(conversation, evil)
    page = text(log_in(ana).get(reverse("inbox-thread", args=[conversation.pk])))

    assert evil not in page
    assert "&lt;script&gt;alert(1)" in page


# ---------------------------------------------------------------- the thread
def test_the_thread_shows_40_messages_and_the_way_to_earlier_ones(log_in, ana, make_conversation, write_in):
    conversation = make_conversation("human_handoff", agent=ana)
    for n in range(45):
        write_in(conversation, f"linha-{n:02d}")
    client = log_in(ana)
    page = text(client.get(reverse("inbox-thread", args=[conversation.pk])))
    link = re.search(r'hx-get="([^"]+before=\d+)"', page)[1]
    older = text(client.get(link))

    thread = page[page.index('id="log"') :]
    assert "linha-04" not in thread
    assert "linha-05" in thread
    assert [n for n in range(45) if f"linha-{n:02d}" in older] == [0, 1, 2, 3, 4]


def test_the_ledger_is_told_with_names(log_in, ana, sofia, support, make_conversation):
    conversation = make_conversation("queued", queue=support, priority=80)
    handoff.claim(conversation.pk, agent_id=ana.pk)
    handoff.transfer(conversation.pk, actor=ana, agent_id=sofia.pk, note="cliente VIP")
    page = text(log_in(sofia).get(reverse("inbox-thread", args=[conversation.pk])))

    for told in (
        "Bot handed over to Suporte",
        "Taken from the queue by Ana",
        "Given to you by Ana",
        "cliente VIP",
    ):
        assert told in page


def test_a_failed_message_says_why_and_offers_to_try_again(log_in, ana, make_conversation):
    conversation = make_conversation("human_handoff", agent=ana)
    message, _new = outbox.reply(conversation.pk, agent=ana, text="Oi")
    message.deliveries.update(status="failed", error_code="63016")
    with writing(conversation.pk) as locked:
        outbox.refresh_status(locked, message)
    client = log_in(ana)
    page = text(client.get(reverse("inbox-thread", args=[conversation.pk])))
    assert "63016" in page
    assert "only approved template messages" in page

    client.post(reverse("inbox-retry", args=[conversation.pk, message.pk]))
    assert conversation.messages.get(pk=message.pk).status == "pending"


def test_a_closed_window_replaces_the_field_by_the_reason(log_in, ana, make_conversation):
    conversation = make_conversation("human_handoff", agent=ana)
    with writing(conversation.pk) as locked:
        locked.last_inbound_at = None
    page = text(log_in(ana).get(reverse("inbox-thread", args=[conversation.pk])))

    assert 'data-mode="template"' in page
    assert 'id="b"' not in page
    assert "platform has approved" in page


# ---------------------------------------------------------------- verbs
def test_pulling_gives_the_first_in_line_and_says_when_nobody_waits(log_in, ana, support, make_conversation):
    conversation = make_conversation("queued", queue=support)
    client = log_in(ana)

    assert client.post("/inbox/pull/", headers=HTMX).headers["HX-Push-Url"] == f"/inbox/{conversation.pk}/"
    nothing = client.post("/inbox/pull/", headers=HTMX)
    assert nothing.headers["HX-Retarget"] == "#toasts"
    assert "Nobody is waiting" in text(nothing)


def test_the_slower_of_two_is_told_who_was_faster(log_in, ana, sofia, support, make_conversation):
    conversation = make_conversation("queued", queue=support)
    handoff.claim(conversation.pk, agent_id=ana.pk)
    answer = log_in(sofia).post(reverse("inbox-claim", args=[conversation.pk]), headers=HTMX)

    assert answer.status_code == 409
    assert "Ana already has this conversation" in text(answer)


def test_without_javascript_a_refusal_comes_back_as_a_message(log_in, ana, sofia, support, make_conversation):
    conversation = make_conversation("queued", queue=support)
    handoff.claim(conversation.pk, agent_id=ana.pk)
    client = log_in(sofia)
    answer = client.post(reverse("inbox-claim", args=[conversation.pk]), follow=True)

    assert answer.redirect_chain[0][0] == f"/inbox/{conversation.pk}/"
    assert "Ana already has this conversation" in text(answer)


def test_an_answer_is_sent_once_per_client_id(log_in, ana, make_conversation):
    conversation = make_conversation("human_handoff", agent=ana)
    client, url = log_in(ana), reverse("inbox-reply", args=[conversation.pk])
    codes = [client.post(url, {"text": "Oi", "client_id": "c-1"}, headers=JSON).status_code for _ in range(3)]

    assert codes == [201, 200, 200]
    assert conversation.messages.filter(direction="out").count() == 1


def test_an_answer_from_a_stale_page_is_stopped_until_the_agent_insists(log_in, ana, bia, make_conversation):
    conversation = make_conversation("human_handoff", agent=ana)
    seen = Conversation.objects.get(pk=conversation.pk).seq
    outbox.reply(conversation.pk, agent=ana, text="Já resolvi")
    handoff.transfer(conversation.pk, actor=ana, agent_id=bia.pk)
    client, url = log_in(bia), reverse("inbox-reply", args=[conversation.pk])
    fields = {"text": "Oi", "client_id": "c-2", "last_seen_seq": seen}
    stopped = client.post(url, fields, headers=JSON)

    assert stopped.status_code == 409
    assert stopped.json()["code"] == "stale_view"
    assert stopped.json()["missed"] == [{"who": "Ana", "text": "Já resolvi"}]
    assert client.post(url, {**fields, "force": "1"}, headers=JSON).status_code == 201


def test_a_note_is_for_colleagues_and_an_empty_one_for_nobody(log_in, ana, make_conversation):
    conversation = make_conversation("human_handoff", agent=ana)
    client, url = log_in(ana), reverse("inbox-note", args=[conversation.pk])

    assert "conferir" in client.post(url, {"text": "conferir frete"}, headers=JSON).json()["html"]
    assert client.post(url, {"text": "  "}, headers=JSON).status_code == 409
    assert conversation.notes.count() == 1
    assert not conversation.messages.filter(text__contains="frete").exists()


def test_an_agent_moves_only_what_is_theirs(log_in, ana, support, make_conversation):
    conversation = make_conversation("queued", queue=support)
    client = log_in(ana)

    assert client.post(reverse("inbox-close", args=[conversation.pk]), headers=HTMX).status_code == 409
    handoff.claim(conversation.pk, agent_id=ana.pk)
    client.post(reverse("inbox-close", args=[conversation.pk]), headers=HTMX)
    assert Conversation.objects.get(pk=conversation.pk).state == State.CLOSED


def test_a_transfer_goes_to_a_queue_of_this_organization_only(log_in, ana, make_queue, make_conversation):
    conversation, sales = make_conversation("human_handoff", agent=ana), make_queue("vendas")
    client, url = log_in(ana), reverse("inbox-transfer", args=[conversation.pk])

    for strange in ("", "queue:x", f"queue:{conversation.pk}", f"tribe:{sales.pk}"):
        assert client.post(url, {"to": strange}, headers=HTMX).status_code == 409
    client.post(url, {"to": f"queue:{sales.pk}", "priority": "80", "note": "urgente"}, headers=HTMX)
    moved = Conversation.objects.get(pk=conversation.pk)
    assert (moved.state, moved.queue, moved.queue_priority) == (State.QUEUED, sales, 80)


def test_releasing_gives_the_contact_to_the_chosen_flow(log_in, ana, flow, make_conversation):
    conversation = make_conversation("human_handoff", agent=ana)
    client, url = log_in(ana), reverse("inbox-release", args=[conversation.pk])
    assert "Atendimento" in text(client.get(url, headers=HTMX))

    client.post(url, {"flow": str(flow.pk)}, headers=HTMX)
    assert Conversation.objects.get(pk=conversation.pk).state == State.BOT


def test_looking_at_it_takes_the_unread_badge_away(log_in, ana, sofia, make_conversation, write_in):
    conversation = make_conversation("human_handoff", agent=ana)
    write_in(conversation)
    url = reverse("inbox-seen", args=[conversation.pk])

    log_in(sofia).post(url)
    assert Conversation.objects.get(pk=conversation.pk).unread == 1
    log_in(ana).post(url)
    assert Conversation.objects.get(pk=conversation.pk).unread == 0


def test_presence_is_what_the_agent_chose(log_in, ana):
    client = log_in(ana)
    client.post("/inbox/presence/", {"status": "away"})

    assert AgentProfile.objects.get(member=ana).presence == "away"
    assert client.post("/inbox/presence/", {"status": "asleep"}).status_code == 404


# ---------------------------------------------------------------- files
def _file(conversation, message, mime: str, body: bytes, name: str) -> MediaFile:
    media = MediaFile(
        organization_id=conversation.organization_id, account_id=conversation.channel_id, kind="file",
        mime=mime, filename=name, size=len(body), state="ok",
    )  # fmt: skip
    media.file.save(name, ContentFile(body), save=False)
    media.save()
    Attachment.objects.create(organization_id=conversation.organization_id, message=message, media=media)
    return media


def test_files_are_given_to_readers_of_the_conversation_only(
    log_in, ana, bia, make_conversation, write_in, settings, tmp_path
):
    settings.MEDIA_ROOT = tmp_path
    conversation = make_conversation("human_handoff", agent=ana)
    media = _file(conversation, write_in(conversation, kind="file"), "image/png", b"\x89PNG", "foto.png")
    shown = log_in(ana).get(f"/media/{media.pk}/")

    assert shown.headers["Content-Disposition"].startswith("inline")
    assert shown.headers["X-Content-Type-Options"] == "nosniff"
    assert shown.headers["Content-Security-Policy"].startswith("sandbox;")
    assert log_in(bia).get(f"/media/{media.pk}/").status_code == 404


@pytest.mark.parametrize("mime", ["text/html", "image/svg+xml", "application/pdf", "application/xml"])
def test_what_could_run_is_always_a_download(
    mime, log_in, ana, make_conversation, write_in, settings, tmp_path
):
    settings.MEDIA_ROOT = tmp_path
    conversation = make_conversation("human_handoff", agent=ana)
    media = _file(conversation, write_in(conversation, kind="file"), mime, b"<svg onload=x>", "x.svg")
    answer = log_in(ana).get(f"/media/{media.pk}/")

    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["Content-Type"] == "application/octet-stream"


# ---------------------------------------------------------------- policy
def test_every_page_carries_the_strict_policy_and_nothing_inline(log_in, ana, make_conversation, write_in):
    conversation = make_conversation("human_handoff", agent=ana)
    write_in(conversation)
    client = log_in(ana)
    for url in ("/inbox/", f"/inbox/{conversation.pk}/", "/preferences/"):
        page = client.get(url)
        policy = page.headers["Content-Security-Policy"]
        assert "script-src 'self';" in policy + ";"
        assert "unsafe" not in policy
        assert not re.search(r"<script(?![^>]*\bsrc=)", text(page)), url
        assert not re.search(r'\sstyle="|<style|\son\w+="|hx-on|javascript:|\bjs:', text(page)), url


def test_the_templates_hold_no_inline_script_style_or_unescaped_text():
    pages = [p for p in (ROOT / "templates").rglob("*.html") if p.parent.name not in ("admin", "simulator")]
    assert len(pages) > 20
    for page in pages:
        source = page.read_text()
        bad = re.search(
            r"\|safe\b|autoescape off|<style|\sstyle=|hx-on|\son(click|load|submit)=|<script(?![^>]*src=)",
            source,
        )
        assert bad is None, f"{page.name}: {bad[0]}"


def test_live_sync_answers_with_frames_and_is_never_cached(log_in, ana):
    answer = log_in(ana).get("/live/sync", {"since": "1.0", "tab": "mine", "open": "x"})

    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json()["cursor"]


def test_every_role_can_open_the_inbox(log_in, acme):
    for role in Role:
        member = new_member(acme, f"m-{role}", role)
        assert log_in(member).get("/inbox/").status_code == 200


def test_two_channels_of_one_organization_stand_side_by_side(log_in, ana, acme, make_conversation):
    phone = new_channel(acme, "phone")
    conversation = make_conversation("human_handoff", agent=ana, channel=phone)

    assert "Simulador" in text(log_in(ana).get(reverse("inbox-thread", args=[conversation.pk])))


# ---------------------------------------------------------------- why it is here
def test_the_contact_pane_offers_the_reason_and_asks_only_when_it_is_opened(
    log_in, ana, support, make_conversation
):
    conversation = make_conversation("queued", queue=support)
    client, url = log_in(ana), reverse("inbox-why", args=[conversation.pk])

    page = text(client.get(reverse("inbox-thread", args=[conversation.pk])))
    assert f'hx-get="{url}"' in page
    assert "Waits in" not in page

    part = text(client.get(url, headers=HTMX))
    assert "Waits in Suporte until an agent takes it." in part
    assert "Ana takes it from the queue" in part
    assert "<html" not in part


def test_the_reason_is_a_page_of_its_own_without_javascript(log_in, ana, make_conversation):
    conversation = make_conversation("human_handoff", agent=ana)

    page = text(log_in(ana).get(reverse("inbox-why", args=[conversation.pk])))

    assert "<html" in page
    assert "Ana has it" in page
