"""The page tells that its agent is writing."""

from __future__ import annotations

import pytest

from conversations import bells, composing

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_page_rings_for_the_one_who_has_it_and_for_nobody_else(
    log_in, ana, sofia, make_conversation, monkeypatch
):
    rung = []
    monkeypatch.setattr(bells, "_ring", lambda kind, name: rung.append((kind, name)))
    talk = make_conversation("human_handoff", agent=ana)
    agent, supervisor, url = log_in(ana), log_in(sofia), f"/inbox/{talk.pk}/typing/"
    rung.clear()
    assert supervisor.post(url).status_code == 204
    assert rung == []
    assert agent.post(url).status_code == 204
    assert rung == [("about", f"{composing.SHOW} {talk.pk}")]
