# SPDX-License-Identifier: GPL-2.0-only
"""`rig`: one host for all the tests of a file, see rig.py; `state`: what its datapath keeps. `make_rig` for others."""
import contextlib

import pytest

from rig import Rig
from state import State
from topology import Host


@pytest.fixture(scope="module")
def rig():
    with Host() as host:
        rig = Rig(host)
        yield rig
        rig.close()


@pytest.fixture(scope="module")
def state(rig):
    state = State(rig)
    yield state
    state.close()


@pytest.fixture
def make_rig():
    """A function that makes a host of the test's own, with these sysctls before nsbpf comes: (rig, state)."""
    with contextlib.ExitStack() as stack:
        def make(**sysctls):
            host = stack.enter_context(Host())
            for name, value in sysctls.items():
                host.sysctl("net.ipv4." + name, value)
            rig = Rig(host)
            stack.callback(rig.close)
            state = State(rig)
            stack.callback(state.close)
            return rig, state
        yield make
