"""Twilio as a channel: WhatsApp today, SMS beside it."""
