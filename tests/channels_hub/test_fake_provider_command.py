"""`manage.py fake_provider` as people start it."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest
from django.core.management import CommandError, call_command

pytestmark = pytest.mark.slow


def test_it_serves_until_it_is_told_to_stop():
    command = [sys.executable, "-m", "django", "fake_provider", "--port", "0"]
    env = os.environ | {"DJANGO_SETTINGS_MODULE": os.environ.get("DJANGO_SETTINGS_MODULE", "pytake.settings")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            url = process.stdout.readline().split()[-1]
            with urllib.request.urlopen(f"{url}/_report", timeout=5) as answer:
                assert json.load(answer)["requests"] == 0
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_it_serves_this_machine_only():
    with pytest.raises(CommandError, match="this machine only"):
        call_command("fake_provider", host="0.0.0.0", port=0)


def test_a_taken_port_is_one_sentence():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=f"Port {port} cannot be opened"):
            call_command("fake_provider", port=port)
