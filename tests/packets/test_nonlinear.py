# SPDX-License-Identifier: GPL-2.0-only
"""Packets of which a NIC has left next to nothing in the linear part, as drivers with page pools do.

BPF_PROG_TEST_RUN makes linear ones only. A packet socket with PACKET_VNET_HDR makes the others, when the frame is longer
than a page.
"""
import contextlib

import pytest
from flows import PROTOS, message, renamed
from rig import Rig, l4_of, translated
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from taps import ETHER_SIZE, Tap, one_cpu
from topology import HOST_ADDRESS, OUTSIDE_FAR, Host, wait_for

PAGE = 4096
BODY = Raw(bytes(range(250)) * 20)
MTU = "9000"
# Of the headers: the end of Ethernet, within IP and before its addresses, the end of IP, within what follows.
LINEAR = (ETHER_SIZE, 20, 34, 40, 54, 60)


@pytest.fixture(scope="module")
def jumbo():
    """A rig whose devices all carry frames longer than a page, and a Tap at each end."""
    with Host() as host, contextlib.ExitStack() as stack:
        host.ip("link", "set", "up0", "mtu", MTU)
        host.outside.ip("link", "set", "wan0", "mtu", MTU)
        rig = Rig(host)
        stack.callback(rig.close)
        stack.enter_context(one_cpu())
        taps = Tap(rig.a.netns, "eth0"), Tap(host.outside, "wan0")
        for tap in taps:
            stack.callback(tap.close)
        yield rig, *taps


def arrival(tap, is_wanted):
    """The long frame that comes and is wanted; the stacks of both ends may answer what they get, too."""
    def look():
        wanted.extend(frame for frame in tap.receive() if len(frame) > PAGE and is_wanted(Ether(frame)))
        return wanted

    wanted = []
    wait_for(look, 5)
    return wanted[0]


def own_port(frame):
    l4 = l4_of(frame)
    return l4.fields.get("sport", l4.fields.get("id"))


@pytest.mark.parametrize("linear", LINEAR)
@pytest.mark.parametrize("options", [0, 8])
@pytest.mark.parametrize("proto", PROTOS)
def test_whole_packets_both_ways(jumbo, family, proto, options, linear):
    rig, inner, outer = jumbo
    rig.family, port = family, rig.port()
    host, far = family.address(HOST_ADDRESS), family.address(OUTSIDE_FAR)
    sent = rig.sent(rig.a, OUTSIDE_FAR, options=options) / message(rig, proto, port, 80) / BODY
    inner.send(sent, linear)
    frame = arrival(outer, lambda frame: (frame.payload.src, frame.payload.dst) == (host, far))
    chosen = own_port(Ether(frame))
    left = Ether(src=rig.uplink.mac, dst=rig.outside_mac)
    assert frame == bytes(translated(sent, left, src=host, **renamed(proto, "sport", chosen)))

    back = rig.arrived(options=options) / message(rig, proto, 80, chosen, answer=True) / BODY
    want = bytes(translated(back, rig.to(rig.a), dst=rig.a.address, **renamed(proto, "dport", port)))
    outer.send(back, linear)
    assert arrival(inner, lambda frame: bytes(frame) == want) == want
