"""Both kinds of Twilio channels keep the promises of every adapter."""

from channels_hub.contract import Outcome
from channels_hub.testing import AdapterContract
from channels_twilio.adapter import TwilioSms, TwilioWhatsApp
from tests.channels_twilio import recorded as rec


class TestTwilioWhatsApp(AdapterContract):
    adapter = TwilioWhatsApp({"account_sid": rec.SID}, "+551130000000", callback_url=rec.BASE)
    secrets = {"auth_token": rec.TOKEN}
    signature_header = "x-twilio-signature"
    answers = (
        (201, {"sid": "SM1", "status": "queued"}, Outcome.ACCEPTED),
        (201, {"sid": "SM1", "status": "failed", "error_code": 63016}, Outcome.WINDOW_CLOSED),
        (400, {"code": 63016}, Outcome.WINDOW_CLOSED),
        (429, {"code": 20429}, Outcome.RATE_LIMITED),
        (429, b"", Outcome.RATE_LIMITED),
        (400, {"code": 21611}, Outcome.RATE_LIMITED),
        (400, {"code": 21610}, Outcome.UNREACHABLE),
        (400, {"code": 21211}, Outcome.UNREACHABLE),
        (401, {"code": 20003}, Outcome.AUTH),
        (401, b"", Outcome.AUTH),
        (400, {"code": 21705}, Outcome.AUTH),
        (400, {"code": 21617}, Outcome.CONTENT),
        (400, {"code": 92008}, Outcome.CONTENT),
        (400, {"code": 12345}, Outcome.PERMANENT),
        (404, {"code": 20404}, Outcome.PERMANENT),
        (302, b"", Outcome.PERMANENT),
        (500, {"code": 20500}, Outcome.RETRYABLE),
        (503, {"code": 20503}, Outcome.RETRYABLE),
        (503, b"<html>", Outcome.RETRYABLE),
        (500, b"<html>", Outcome.AMBIGUOUS),
        (502, b"<html>", Outcome.AMBIGUOUS),
        (504, b"", Outcome.AMBIGUOUS),
        (200, b"<html>", Outcome.AMBIGUOUS),
    )

    def sign(self, request):
        return rec.signed(request)

    def recorded(self):
        return [rec.recorded(name) for name in (*rec.INBOUND, *rec.STATUS)]

    def unknown(self):
        return rec.changed("status_read", MessageStatus="teleported")

    def unreadable(self):
        return rec.call(b"MessageSid=SM1&Body=%ff%fe")


class TestTwilioSms(TestTwilioWhatsApp):
    adapter = TwilioSms({"account_sid": rec.SID}, "+12125550100", callback_url=rec.BASE)

    def recorded(self):
        return [rec.recorded(name) for name in (*rec.SMS, *rec.SMS_STATUS)]

    def unknown(self):
        return rec.changed("sms_status", MessageStatus="teleported")
