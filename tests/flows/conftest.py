"""What the tests of flows add to the common cast."""

from __future__ import annotations

import pytest

from accounts.models import Organization
from flows import demo
from flows.models import Flow
from flows.services import create_flow


@pytest.fixture
def atendimento(acme: Organization) -> Flow:
    """The demo flow as a draft: nothing is published yet."""
    return create_flow(acme, name=demo.NAME, slug=demo.SLUG, document=demo.document())
