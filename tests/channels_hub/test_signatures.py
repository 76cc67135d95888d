"""The vectors of every platform's signature, and what all of them refuse."""

import base64
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from channels_hub import signatures

STAMP = "1763640000"
NOW = float(STAMP)
STANDARD_SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
TOKEN = "twilio_auth_token_for_tests"
URL = "https://hooks.example.org/hooks/twilio/7f3c/inbound"
FORM = [
    ("MessageSid", "SM00000000000000000000000000000001"),
    ("AccountSid", "AC00000000000000000000000000000001"),
    ("From", "whatsapp:+5511987654321"),
    ("To", "whatsapp:+551130000000"),
    ("Body", "Olá, preciso de ajuda"),
    ("NumMedia", "0"),
    ("ProfileName", "Ana Souza"),
    ("WaId", "5511987654321"),
    ("MessageType", "text"),
    ("FromCity", ""),
]
SHA256 = "key=k1,algorithm=HMAC_SHA256"

META = (b'{"object":"whatsapp_business_account","entry":[]}',
        "sha256=e6ad1226d7dbb376b93779e72f6ea6cc56d514dbcb4b3fa023b679f8f0220325")  # fmt: skip
SLACK = (b'{"type":"event_callback","event_id":"Ev0001"}',
         "v0=99335e58310b042c6bd4155494566471f983cc491045ba11ad2238e493c3f83f")  # fmt: skip
LINE = (b'{"destination":"U0","events":[]}', "38HXsM5lzZhPk0Q75F/7j1vQT8FcOqe0qgsKXqy8eWM=")
VIBER = (b'{"event":"webhook","timestamp":1763640000000,"message_token":1}',
         "fa9998c2539459ec9d087c65dbb71052f3feff4e64984d77f2ebfbda3bb03432")  # fmt: skip
STANDARD = (b'{"type":"message.created"}', "v1,y4FcPMgbLecFX60Q21Ts4AC8T1ngL0Qe/3vuuvNB5mo=")
DISCORD_KEY = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
DISCORD = (b'{"type":1}', "9e5d96dfedec7662f270a4e7ac22ea19358473cca2a4745d0a2a87708679d5e9"
           "ca123766e35aad677b382d43c91ad6cc0dc36af3c3cc00bd7fd9ba8b57f5300b")  # fmt: skip
RBM = (b'{"senderPhoneNumber":"+5511987654321","messageId":"m1","text":"oi"}',
       "uinRD6F4zTaWi3N+i+gWvQH/D6VjZwOPoWIBxFmOJPx0AnC5KnrO"
       "/dtstSqbsFxO7MfCmLzgO1qFPc/ox8YHMA==")  # fmt: skip
MAILGUN = "230659b7fb9d77d757d3525a47b598db2eb69fe0d5918133aafab03c41e8dc7a"

# name -> check(secret, body, header)
CHECKS = {
    "meta": ("meta_app_secret", *META, signatures.meta),
    "slack": ("slack_signing_secret", *SLACK, lambda s, b, h: signatures.slack(s, b, STAMP, h, NOW)),
    "line": ("line_channel_secret", *LINE, signatures.line),
    "viber": ("viber_auth_token", *VIBER, signatures.viber),
    "standard": (STANDARD_SECRET, *STANDARD,
                 lambda s, b, h: signatures.standard([s], b, "msg_1", STAMP, h, NOW)),
    "discord": (DISCORD_KEY, *DISCORD, lambda s, b, h: signatures.discord(s, b, STAMP, h)),
    "rbm": ("rbm_client_token", *RBM, lambda s, b, h: signatures.rbm(s, base64.b64encode(b).decode(), h)),
    "mailgun": ("mailgun_signing_key", b"abcdef0123456789", MAILGUN,
                lambda s, b, h: signatures.mailgun(s, STAMP, b.decode("latin-1"), h)),
    "telegram": ("secret", b"", "secret", lambda s, b, h: signatures.telegram(s, h)),
}  # fmt: skip
BODIES = list(CHECKS)


@pytest.mark.parametrize("name", BODIES)
def test_the_published_vector_is_accepted(name):
    secret, body, header, check = CHECKS[name]
    assert check(secret, body, header)


@pytest.mark.parametrize("name", [name for name in BODIES if name != "telegram"])
def test_one_changed_byte_is_refused(name):
    secret, body, header, check = CHECKS[name]
    assert not check(secret, b"~" + body[1:], header)


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("header", ["", "é", "sha256=é", "v1,é", "\udce9", "AAAA", "x" * 9000])
def test_a_nonsense_header_is_refused_and_never_raises(name, header):
    secret, body, _good, check = CHECKS[name]
    assert not check(secret, body, header)


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("secret", ["", "other", "whsec_"])
def test_an_empty_or_wrong_secret_never_matches(name, secret):
    _secret, body, header, check = CHECKS[name]
    assert not check(secret, body, header)


def test_an_empty_secret_does_not_even_match_its_own_mac():
    assert not signatures.meta("", b"x", "sha256=" + signatures.mac("", b"x").hex())
    assert not signatures.telegram("", "")
    own = signatures.standard_signature("", b"x", "m", STAMP)
    assert not signatures.standard([""], b"x", "m", STAMP, own, NOW)


@pytest.mark.parametrize("stamp", ["", "soon", str(int(STAMP) - 301), str(int(STAMP) + 301)])
def test_an_old_or_odd_timestamp_is_a_replay(stamp):
    _secret, body, header, _check = CHECKS["slack"]
    assert not signatures.slack("slack_signing_secret", body, stamp, header, NOW)
    own = signatures.standard_signature(STANDARD_SECRET, body, "msg_1", stamp)
    assert not signatures.standard([STANDARD_SECRET], body, "msg_1", stamp, own, NOW)


def test_either_live_secret_and_either_entry_count():
    body, entry = STANDARD
    both = ["whsec_b3RoZXI=", STANDARD_SECRET]
    assert signatures.standard(both, body, "msg_1", STAMP, f"v1,AAAA v2,x {entry}", NOW)


def test_discord_accepts_what_another_library_signed():
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    assert key.public_key().public_bytes_raw().hex() == DISCORD_KEY
    assert signatures.discord(DISCORD_KEY, b"{}", "1", key.sign(b"1{}").hex())


def test_x_answers_its_challenge():
    assert (
        signatures.x_crc("x_consumer_secret", "foo") == "sha256=SHPHQ2CMOea479EmMWB0PjNVQkELBh6/zy2YD8O7dNc="
    )


def test_widget_user_hash_is_a_plain_hex_mac():
    expected = "102f94153799d6e37d58cfcb4fe277a09bb0b45efe0b894393e39301bc9d33dc"
    assert signatures.mac("widget_identity_secret", b"cust-42").hex() == expected


# ------------------------------------------------------------------ Twilio
def test_twilio_vectors():
    assert signatures.twilio(TOKEN, URL, FORM, "9b4zM4sOZcjBgtoY6uqEsM9YyjE=")
    sha256 = "AgVIFh5anMH071tBy0Zskrdd/0MGhKE2LKOaOvh6zMA="
    assert signatures.twilio(TOKEN, URL, FORM, sha256, settings_header=SHA256)
    assert not signatures.twilio(TOKEN, URL, FORM, sha256)
    assert not signatures.twilio(TOKEN, URL, FORM, sha256, settings_header="key=k,algorithm=HMAC_MD5")


def test_twilio_json_needs_the_hash_of_its_body():
    digest = "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
    url, header = f"{URL}?bodySHA256={digest}", "uS8lnGXjsNvZ9v9BwA845pOozUY="
    assert signatures.twilio(TOKEN, url, None, header, body=b'{"a":1}')
    assert not signatures.twilio(TOKEN, url, None, header, body=b'{"a":2}')
    assert not signatures.twilio(TOKEN, URL, None, signatures.twilio_signature(TOKEN, URL, None), body=b"")


@pytest.mark.parametrize("signed", ["https://h.example/x", "https://h.example:443/x"])
@pytest.mark.parametrize("called", ["https://h.example/x", "https://h.example:443/x"])
def test_twilio_counts_with_and_without_the_port(signed, called):
    header = signatures.twilio_signature(TOKEN, signed, FORM)
    assert signatures.twilio(TOKEN, called, FORM, header)


def test_twilio_keeps_an_odd_port_and_another_host_apart():
    header = signatures.twilio_signature(TOKEN, "http://127.0.0.1:8123/x", FORM)
    assert signatures.twilio(TOKEN, "http://127.0.0.1:8123/x", FORM, header)
    assert not signatures.twilio(TOKEN, "http://127.0.0.2:8123/x", FORM, header)


@pytest.mark.parametrize("change", [FORM[1:], [*FORM, ("New", "1")], [("MessageSid", "SM2"), *FORM[1:]]])
def test_twilio_signs_every_field(change):
    assert not signatures.twilio(TOKEN, URL, change, "9b4zM4sOZcjBgtoY6uqEsM9YyjE=")


# ------------------------------------------------------------------ Teams
@pytest.fixture(scope="module")
def connector():
    key = rsa.generate_private_key(65537, 2048)
    jwk = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return key, [{**jwk, "kid": "k1", "endorsements": ["msteams"]}]


def _token(key, **claims):
    standard = {
        "iss": "https://api.botframework.com",
        "aud": "app",
        "exp": time.time() + 60,
        "serviceurl": "https://s",
    }
    return "Bearer " + jwt.encode(standard | claims, key, "RS256", headers={"kid": "k1"})


ACTIVITY = {"channelId": "msteams", "serviceUrl": "https://s"}


def test_teams_accepts_the_connectors_token(connector):
    key, keys = connector
    assert signatures.teams(_token(key), ACTIVITY, "app", keys)


@pytest.mark.parametrize(
    "claims", [{"aud": "other"}, {"iss": "x"}, {"exp": 1}, {"serviceurl": "https://evil"}]
)
def test_teams_refuses_wrong_claims(connector, claims):
    key, keys = connector
    assert not signatures.teams(_token(key, **claims), ACTIVITY, "app", keys)


def test_teams_refuses_foreign_keys_channels_and_no_token(connector):
    key, keys = connector
    other = rsa.generate_private_key(65537, 2048)
    assert not signatures.teams(_token(other), ACTIVITY, "app", keys)
    assert not signatures.teams(_token(key), {**ACTIVITY, "channelId": "slack"}, "app", keys)
    assert not signatures.teams(_token(key), ACTIVITY, "app", [])
    assert not signatures.teams("Bearer é", ACTIVITY, "app", keys)
    assert not signatures.teams("", ACTIVITY, "app", keys)
    assert not signatures.teams(_token(key), ACTIVITY, "", keys)
