# SPDX-License-Identifier: GPL-2.0-only
"""`rig`: one host for all the tests of a file, see rig.py; `state`: what its datapath keeps. `make_rig` for others.

Every test that has a rig runs with IPv4 and with IPv6 (`family`), unless it is marked for one of them,
pytest.mark.families(4), or sees to both itself, pytest.mark.families("both"). Fixtures of a whole module take
`shared_rig`, which is of no family.
"""
import contextlib

import pytest

from rig import Rig
from siblings import FAMILIES
from state import State
from topology import Host


NAMES = {4: "ip4", 6: "ip6", "both": "ip4+ip6"}


def pytest_generate_tests(metafunc):
    if "family" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("families")
        metafunc.parametrize("family", marker.args if marker else (4, 6), ids=NAMES.get, indirect=True)


@pytest.fixture
def family(request):
    return FAMILIES.get(request.param, FAMILIES[4])


@pytest.fixture(scope="module")
def shared_rig():
    with Host() as host:
        rig = Rig(host)
        yield rig
        rig.close()


@pytest.fixture
def rig(shared_rig, family):
    shared_rig.family = family
    return shared_rig


@pytest.fixture(scope="module")
def state(shared_rig):
    state = State(shared_rig)
    yield state
    state.close()


@pytest.fixture
def make_rig(family):
    """A function that makes a host of the test's own, with these sysctls before nsbpf comes: (rig, state)."""
    with contextlib.ExitStack() as stack:
        def make(**sysctls):
            host = stack.enter_context(Host())
            for name, value in sysctls.items():
                host.sysctl("net.ipv4." + name, value)
            rig = Rig(host)
            rig.family = family
            stack.callback(rig.close)
            state = State(rig)
            stack.callback(state.close)
            return rig, state
        yield make
