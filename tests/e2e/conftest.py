# SPDX-License-Identifier: GPL-2.0-only
"""The endpoints that most tests of traffic want: two of the default network."""
import pytest


@pytest.fixture
def a(host):
    return host.add("a")


@pytest.fixture
def b(host, a):
    """The second: after `a`, whatever the order in which a test takes them."""
    return host.add("b")
