"""Every error code of Twilio's that we know, in an answer and in a status report, one by one."""

import pytest

from channels_hub.contract import Kind, Outcome, State
from channels_twilio.adapter import TwilioSms, TwilioWhatsApp
from channels_twilio.codes import OUTCOMES
from tests.channels_twilio.recorded import BASE, SID, changed

# Written down from the protocol's table, not from the code.
TABLE = {
    Outcome.WINDOW_CLOSED: "63016",
    Outcome.RATE_LIMITED: "20429 14107 63017 63018 30022 30023 30027 21611 30001 63038",
    Outcome.RETRYABLE: "20500 20503 30008 30017 63009 63010 63012 63019",
    Outcome.UNREACHABLE: "21610 21211 21214 21217 21612 21614 30003 30005 30006 63003 63014 63015 63024 63032"
    " 63033 63035 63036",
    Outcome.AUTH: "20003 20005 20006 20010 21212 21408 21603 21606 21607 21608 21701 21702 21703 21704 21705"
    " 30002 30032 30034 63001 63002 63007 63008 63020 90010",
    Outcome.CONTENT: "21602 21617 21620 21621 21623 21654 21655 21656 21658 30004 30007 30011 30019 63005"
    " 63006 63013 63021 63026 63027 63028 63029 63030 63034 63037 63040 63041 63049"
    " 92002 92003 92004 92005 92006 92007 92008",
    Outcome.PERMANENT: "20001 20404 21604 21619 99999",
}
CODES = [(code, outcome) for outcome, codes in TABLE.items() for code in codes.split()]
WHATSAPP = TwilioWhatsApp({"account_sid": SID}, "+551130000000", callback_url=BASE)
SMS = TwilioSms({"account_sid": SID}, "+12125550100", callback_url=BASE)
WAITS = {"21611": 600, "30001": 600, "30023": 86400, "30027": 86400, "63038": 86400}


def test_the_table_is_complete():
    assert {code for code, outcome in CODES if outcome is not Outcome.PERMANENT} == set(OUTCOMES)


@pytest.mark.parametrize("adapter", [WHATSAPP, SMS], ids=["whatsapp", "sms"])
@pytest.mark.parametrize(("code", "outcome"), CODES)
def test_in_an_answer(adapter, code, outcome):
    for status in (400, 500):
        found = adapter.classify(status, {}, {"code": int(code), "message": "words"})
        if outcome is not Outcome.PERMANENT or status == 400:
            assert found.outcome is outcome
        assert (found.code, found.detail, found.retry_after) == (code, "words", WAITS.get(code))
    refused = adapter.classify(201, {}, {"sid": "SM1", "status": "failed", "error_code": int(code)})
    assert (refused.outcome, refused.provider_id) == (outcome, "SM1")


@pytest.mark.parametrize(
    ("adapter", "name"), [(WHATSAPP, "status_failed"), (SMS, "sms_status")], ids=["whatsapp", "sms"]
)
@pytest.mark.parametrize(("code", "outcome"), CODES)
def test_in_a_status_report(adapter, name, code, outcome):
    (event,) = adapter.parse(changed(name, MessageStatus="undelivered", ErrorCode=code))
    assert (event.kind, event.status.state, event.status.code) == (Kind.STATUS, State.FAILED, code)
    assert adapter.outcome_of(event.status.code) is outcome
    assert adapter.wait_of(event.status.code) == WAITS.get(code)


def test_what_is_worth_one_more_try_only_may_be_tried_again_at_all():
    assert {OUTCOMES[code] for code in TwilioSms.once_codes} == {Outcome.RETRYABLE}
    assert TwilioWhatsApp.once_codes == {"30008", "63019"}


def test_the_answer_says_how_long_to_wait_where_it_does():
    assert WHATSAPP.classify(429, {"retry-after": "7"}, {"code": 20429}).retry_after == 7
    assert WHATSAPP.classify(429, {}, {"code": 20429}).retry_after is None
