# SPDX-License-Identifier: GPL-2.0-only
"""What the outside machine sees of an endpoint that sends whatever it likes: never its address (cilium #42144)."""
import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from topology import HOST_ADDRESS, OUTSIDE_FAR
from wire import GATEWAY_MAC

pytestmark = pytest.mark.attach


def test_pitfall_cilium_42144_nothing_leaves_un_nated(host):
    a = host.add("a")
    wan = host.outside.capture("wan0")
    ether = Ether(src=a.info["mac"], dst=GATEWAY_MAC)
    inner = IP(src=a.address, dst=OUTSIDE_FAR) / UDP(sport=1, dport=9) / Raw(b"inner")
    frames = [ether / IP(src=a.address, dst=OUTSIDE_FAR, proto=number) / Raw(bytes(40)) for number in range(256)]
    frames += [ether / IP(src=a.address, dst=OUTSIDE_FAR, proto=number, **fields) / Raw(bytes(48))
               for number in (1, 6, 17, 47, 132, 136) for fields in ({"flags": "MF"}, {"frag": 3})]
    frames += [ether / IP(src=a.address, dst=OUTSIDE_FAR) / inner,
               ether / IP(src=a.address, dst="224.0.0.22", ttl=1, options=[IPOption_NOP()] * 4) / Raw(bytes(8)),
               ether / IP(src=a.address, dst=OUTSIDE_FAR) / ICMP(type=3, code=3) / inner,
               *(ether / IP(src=a.address, dst=OUTSIDE_FAR) / TCP(sport=2000 + number, dport=9, flags=number)
                 for number in range(64))]
    a.send("eth0", *frames)
    # The last one is a marker: what was sent before it has arrived by then, if it has.
    a.send("eth0", ether / IP(src=a.address, dst=OUTSIDE_FAR) / UDP(sport=3000, dport=9) / Raw(b"marker"))
    wan.expect(lambda p: Raw in p and p[Raw].load == b"marker")
    sent = [p for p in wan.packets if IP in p and p[Ether].src == host.link("up0")["address"]]
    assert {p[IP].src for p in sent} == {HOST_ADDRESS}
    assert {p[IP].proto for p in sent} <= {1, 6, 17}
    assert not [p for p in wan.packets if a.address.encode() in bytes(p.ether)]
    packed = bytes(map(int, a.address.split(".")))
    assert not [p for p in wan.packets if packed in p.frame]
    assert host.json()["drops"]["protocol"] >= 253


def test_pitfall_cilium_47425_a_stale_answer_lets_nothing_out(host):
    """A connection that ended leaves nothing that could be taken for "this is a reply": the SYN is translated."""
    a = host.add("a")
    host.nsbpf("expose", a.name, "5000")
    with a.tcp_echo(5000):
        assert host.outside.tcp(HOST_ADDRESS, 5000)["data"] == "hello"
    host.nsbpf("unexpose", a.name, "5000")
    wan = host.outside.capture("wan0")
    with host.outside.tcp_echo() as server:
        seen = a.tcp(OUTSIDE_FAR, server.port, source_port=5000)
    assert seen["peer"] == HOST_ADDRESS
    assert not [p for p in wan.packets if IP in p and p[IP].src == a.address]
