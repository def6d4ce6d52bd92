# SPDX-License-Identifier: GPL-2.0-only
"""What many tests want: the endpoints of traffic, two of the default network; and a host where nothing runs."""
import pytest
from topology import Host


@pytest.fixture
def a(host):
    return host.add("a")


@pytest.fixture
def b(host, a):
    """The second: after `a`, whatever the order in which a test takes them."""
    return host.add("b")


@pytest.fixture(scope="module")
def empty():
    """A host where nothing runs, for all of a file's tests."""
    with Host() as host:
        yield host
