"""Files in the composer, in a real browser: chosen, pasted, removed, sent, recorded."""

from __future__ import annotations

import pytest

from channels_hub.models import MediaFile
from tests.browser.chromium import until
from tests.channels_hub.files import photo

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser, pytest.mark.slow]
PASTE = """(bytes) => {
  const files = new DataTransfer();
  files.items.add(new File([new Uint8Array(bytes)], "colada.png", { type: "image/png" }));
  const pasted = new ClipboardEvent("paste", { clipboardData: files, bubbles: true });
  document.querySelector("#b").dispatchEvent(pasted);
}"""
DROP = """(text) => {
  const files = new DataTransfer();
  files.items.add(new File([text], "solta.txt", { type: "text/plain" }));
  const how = { dataTransfer: files, bubbles: true, cancelable: true };
  const log = document.querySelector("#log");
  for (const name of ["dragover", "drop"]) log.dispatchEvent(new DragEvent(name, how));
}"""


def test_a_picture_is_chosen_seen_sent_and_stands_in_the_log(
    live_site, browser_page, enter, ana, make_conversation
):
    page, talk = browser_page, make_conversation("human_handoff", agent=ana)
    enter(page, ana, f"/inbox/{talk.pk}/")
    data = photo((1200, 900))
    page.set_input_files("[data-pick]", {"name": "recibo.jpg", "mimeType": "image/jpeg", "buffer": data})
    page.wait_for_selector(".files li[data-state=ok] img")
    page.fill("#b", "Segue o recibo")
    page.press("#b", "Enter")

    page.wait_for_selector("#log .m.o:not(.sending) .pic img")
    shown = page.locator("#log .m.o .pic img")
    assert shown.get_attribute("src").endswith("/thumbnail/")
    until(page, "document.querySelector('#log .pic img').naturalWidth > 0")
    assert page.locator("#log .m.o .text").inner_text() == "Segue o recibo"
    assert page.locator(".files li").count() == 0
    message = talk.messages.get(direction="out")
    assert [one.media.filename for one in message.attachments.all()] == ["recibo.jpg"]


def test_files_are_pasted_dropped_removed_and_refused_in_words(
    live_site, browser_page, enter, ana, make_conversation
):
    page, talk = browser_page, make_conversation("human_handoff", agent=ana)
    enter(page, ana, f"/inbox/{talk.pk}/")
    page.wait_for_selector("[data-attach]:not([hidden])")
    page.evaluate(PASTE, list(photo((40, 30))))
    page.wait_for_selector(".files li[data-state=ok]:has-text('colada')")
    page.evaluate(DROP, "só texto")
    page.wait_for_selector(".files li[data-state=ok]:has-text('solta.txt')")
    page.set_input_files("[data-pick]", {"name": "nada.txt", "mimeType": "text/plain", "buffer": b""})
    page.wait_for_selector(".files li[data-state=bad]:has-text('nada.txt')")

    page.press("#b", "Enter")
    assert not talk.messages.exists(), "not while one of them is refused"
    page.click(".files li[data-state=bad] button")
    page.click(".files li:has-text('solta.txt') button")
    page.press("#b", "Enter")
    page.wait_for_selector("#log .m.o:not(.sending) .pic img")
    [sent] = talk.messages.get().attachments.all()
    assert sent.media.kind == "image"


def test_a_voice_note_is_recorded_converted_and_sent(
    live_site, chromium_with_sound, enter, ana, make_conversation
):
    page, talk = chromium_with_sound, make_conversation("human_handoff", agent=ana)
    enter(page, ana, f"/inbox/{talk.pk}/")
    page.click("[data-record]")
    page.wait_for_selector("[data-record][aria-pressed=true]")
    page.wait_for_timeout(1500)
    page.click("[data-record]")
    page.wait_for_selector(".files li[data-state=ok] audio", timeout=60_000)
    page.locator("pt-composer button:has(use[href$='#send'])").click()

    page.wait_for_selector("#log .m.o:not(.sending) audio")
    media = MediaFile.objects.get()
    assert (media.kind, media.mime) == ("voice", "audio/ogg")
    until(page, "document.querySelector('#log audio').duration > 0.5")
