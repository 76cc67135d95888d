"""The same verdicts as the validator that Twilio publishes, on forms of every shape."""

from hashlib import sha256
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from channels_hub import signatures
from channels_twilio.adapter import TwilioWhatsApp
from channels_twilio.webhook import pairs
from tests.channels_twilio.recorded import BASE, INBOUND, SID, STATUS, TOKEN, call, recorded, signed

OFFICIAL = RequestValidator(TOKEN)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
forms = st.dictionaries(text.filter(bool), text, max_size=12)


class MultiDict(dict):
    """What a web framework hands to the official validator: every value of a name."""

    def getall(self, name):
        return self[name]


@given(
    forms, st.sampled_from(["https://a.example/x", "https://a.example:443/x?y=1", "http://a.example:8080/x"])
)
def test_our_signature_passes_the_official_check(form, url):
    header = signatures.twilio_signature(TOKEN, url, list(form.items()))
    assert OFFICIAL.validate(url, form, header)
    assert signatures.twilio(TOKEN, url, list(form.items()), header)


@given(forms)
def test_the_official_signature_passes_our_check_on_raw_bytes(form):
    header = OFFICIAL.compute_signature(BASE, form)
    request = call(urlencode(form).encode())
    parsed = pairs(request.body, "surrogateescape")
    assert signatures.twilio(TOKEN, BASE, parsed, header)


@given(st.lists(st.tuples(st.sampled_from("AaBb"), text), max_size=8))
def test_names_that_come_twice_are_signed_alike(items):
    values = MultiDict()
    for name, value in items:
        values.setdefault(name, []).append(value)
    assert signatures.twilio_signature(TOKEN, BASE, items) == OFFICIAL.compute_signature(BASE, values)


@pytest.mark.parametrize("name", [*INBOUND, *STATUS])
def test_recorded_calls_pass_both(name):
    request = signed(recorded(name))
    form = dict(pairs(request.body, "strict"))
    assert OFFICIAL.validate(request.url, form, request.headers["x-twilio-signature"])
    TwilioWhatsApp({"account_sid": SID}, "").verify(request, {"auth_token": TOKEN})


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_json_bodies_get_the_same_verdict(body, other):
    url = f"{BASE}?bodySHA256={sha256(body).hexdigest()}"
    header = OFFICIAL.compute_signature(url, {})
    ours = signatures.twilio(TOKEN, url, None, header, body=other)
    assert ours == (body == other)
    if other.isascii():
        assert ours == OFFICIAL.validate(url, other.decode(), header)
