# SPDX-License-Identifier: GPL-2.0-only
"""The sweep that ends connections: it overlooks none, it is never late, and it begins again when it has rested."""
import time

import pytest
from flows import Flood, first_packet
from siblings import FAMILIES
from topology import wait_for

SECOND = 0.3  # s
TIMEOUT = 2 * SECOND
LATEST = 1.0  # half a SECOND until the sweep comes by, and what a busy machine may take
CLOCK_SHIFT = 20  # what makes clock units of nanoseconds


@pytest.mark.families("both")
def test_pitfall_cilium_27405_no_round_is_missed(make_rig):
    """With new connections all the time; first IPv4 ones, then IPv6 ones, and nothing in between."""
    rig, state = make_rig()
    rig.set_second(1000 * SECOND)
    rig.set_timeouts(udp=2)
    for rig.family, first in zip(FAMILIES.values(), (2000, 12000)):
        flood = Flood(rig, first_packet(rig, rig.a, "udp", 1), rig.a)
        opened, end = 0, time.monotonic() + 2.5
        while time.monotonic() < end:
            flood.send((first + port, 53) for port in range(opened, opened + 50))
            opened += 50
            now = time.monotonic_ns() >> CLOCK_SHIFT
            old = now - (int(LATEST * 1e9) >> CLOCK_SHIFT)
            late = [entry for entry in state.entries().values() if entry.packets and entry.seen < old]
            assert not late, (len(late), late[0])
        assert state.usage().connections < opened
        wait_for(lambda: not state.entries(), LATEST + 1)
        assert state.usage() == (0, 0)
        state.check()
