"""Wiring: settings, addresses, servers, commands. No logic of the desk lives here."""

from pytake.celery import app as celery_app

__all__ = ["celery_app"]
