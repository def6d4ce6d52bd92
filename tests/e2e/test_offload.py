# SPDX-License-Identifier: GPL-2.0-only
"""Offloads on and off, MTUs, fragments: the bytes that arrive are those that were sent."""
import json
import os

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from topology import HOST_ADDRESS, OUTSIDE_ADDRESS, OUTSIDE_FAR
from wire import GATEWAY_MAC, bulk, datagrams, mirror

pytestmark = pytest.mark.attach

MEBIBYTE = 1 << 20

# device: features to switch off; "ns" and "veth" are the two ends of the endpoint's pair
OFFLOADS = {
    "as they are": {},
    "all off": {device: "tx rx tso gso gro sg" for device in ("ns", "veth", "up0", "wan0")},
    "endpoint: no checksum": {"ns": "tx"},
    "endpoint: no tso": {"ns": "tso"},
    "endpoint: no tso, no gso": {"ns": "tso gso"},
    "host veth: nothing": {"veth": "tx rx tso gso gro sg"},
    "uplink: no checksum": {"up0": "tx"},
    "uplink: no tso": {"up0": "tso"},
    "uplink: nothing": {"up0": "tx rx tso gso gro sg"},
    "outside: no checksum": {"wan0": "tx"},
    "outside: no tso": {"wan0": "tso"},
    "outside: nothing": {"wan0": "tx rx tso gso gro sg"},
}


@pytest.fixture
def a(host):
    return host.add("a")


@pytest.fixture
def b(host, a):
    return host.add("b")


def switch(netns, device, features, value):
    for feature in features.split():
        netns.run("ethtool", "-K", device, feature, value)


def places(host, a):
    return {"ns": (a, "eth0"), "veth": (host, a.device), "up0": (host, "up0"), "wan0": (host.outside, "wan0")}


@pytest.mark.parametrize("offload", OFFLOADS)
def test_pitfall_veth_offload_bulk_tcp(host, a, offload):
    for place, features in OFFLOADS[offload].items():
        switch(*places(host, a)[place], features, "off")
    host.nsbpf("expose", a.name, "5000")
    bulk(a, host.outside, OUTSIDE_FAR)
    bulk(host.outside, a, HOST_ADDRESS, port=5000)


@pytest.mark.parametrize("offload", ["as they are", "all off", "endpoint: no checksum", "endpoint: no tso, no gso"])
def test_bulk_tcp_inside(host, a, b, offload):
    for netns in (a, b):
        for place, features in OFFLOADS[offload].items():
            switch(*places(host, netns)[place], features, "off")
    host.nsbpf("expose", b.name, "5000")
    bulk(a, b, b.address)
    bulk(a, host, HOST_ADDRESS)
    bulk(host, a, a.address)
    bulk(a, b, HOST_ADDRESS, port=5000)
    bulk(b, b, HOST_ADDRESS, port=5000)
    bulk(host, b, "127.0.0.1", port=5000)


def test_bulk_tcp_with_gro_on_the_veths(host, a):
    """Off by default on a veth; on, packets of several segments come in by the uplink as from a real NIC."""
    for netns, device in places(host, a).values():
        switch(netns, device, "gro", "on")
    host.nsbpf("expose", a.name, "5000")
    switch(host.outside, "wan0", "tso", "off")
    switch(a, "eth0", "tso", "off")
    bulk(a, host.outside, OUTSIDE_FAR)
    bulk(host.outside, a, HOST_ADDRESS, port=5000)


@pytest.mark.skipif(os.cpu_count() < 2, reason="a veth has as many queues as there are CPUs")
def test_pitfall_cilium_18311_transmit_queue_of_the_uplink(host, a):
    """The flow chooses it. If the queue did that the endpoint sent by, one of the uplink's would do all the work."""
    for netns, device in ((a, "eth0"), (host, "up0")):
        netns.run("ethtool", "-L", device, "tx", 2)
    host.run("tc", "qdisc", "replace", "dev", "up0", "root", "mq")  # counts by queue
    for queue, cpus in ((0, 0), (1, (1 << min(os.cpu_count(), 32)) - 1)):  # all of the endpoint's by its second one
        a.run("sh", "-ec", f"echo {cpus:x} > /sys/class/net/eth0/queues/tx-{queue}/xps_cpus", via="exec")
    # From no socket with a connection: that would remember its queue.
    header = Ether(src=a.info["mac"], dst=GATEWAY_MAC) / IP(src=a.address, dst=OUTSIDE_FAR)
    with host.outside.capture("wan0") as wan:
        a.send("eth0", *[header / UDP(sport=port, dport=9) for port in range(2000, 2064)])
        wan.expect(lambda p: UDP in p and p[UDP].dport == 9, count=64)
    qdiscs = json.loads(host.run("tc", "-s", "-j", "qdisc", "show", "dev", "up0").stdout)
    sent = [qdisc["packets"] for qdisc in qdiscs if "parent" in qdisc and qdisc["kind"] != "clsact"]
    assert sum(sent) >= 64 and min(sent) >= 8, sent


# Around one, two and three fragments, and the largest there is.
SIZES = (1, 1471, 1472, 1473, 2952, 2953, 4096, 30000, 60000, 65507)


@pytest.mark.parametrize("offload", ["as they are", "all off"])
def test_large_datagrams(host, a, b, offload):
    for place, features in OFFLOADS[offload].items():
        switch(*places(host, a)[place], features, "off")
    host.nsbpf("expose", a.name, "5000/udp")
    with mirror(host.outside, "udp") as server:
        datagrams(a, OUTSIDE_FAR, server.port, *SIZES)
    with mirror(a, "udp", 5000) as server:
        datagrams(host.outside, HOST_ADDRESS, 5000, *SIZES)
        datagrams(b, HOST_ADDRESS, 5000, *SIZES)
        datagrams(a, HOST_ADDRESS, 5000, *SIZES)
        datagrams(b, a.address, 5000, *SIZES)
        datagrams(host, a.address, 5000, *SIZES)
        datagrams(host, "127.0.0.1", 5000, *SIZES)


def test_large_datagrams_are_fragments_on_the_wire(host, a):
    """So the test above shows what it says: 60000 bytes are 41 packets, all of the host's."""
    wan = host.outside.capture("wan0")
    with mirror(host.outside, "udp") as server:
        datagrams(a, OUTSIDE_FAR, server.port, 60000)
    sent = wan.expect(lambda p: IP in p and p[IP].dst == OUTSIDE_FAR, count=41)
    assert {packet[IP].src for packet in sent} == {HOST_ADDRESS}
    assert sorted(packet[IP].frag for packet in sent) == [185 * number for number in range(41)]
    assert [packet for packet in sent if UDP in packet]


@pytest.mark.parametrize("mtu", [1280, 1400, 9000])
def test_pitfall_moby_22297_20178_mtu_of_the_uplink(host, mtu):
    host.ip("link", "set", "up0", "mtu", str(mtu))
    host.outside.ip("link", "set", "wan0", "mtu", str(mtu))
    a = host.add("a")
    assert a.info["mtu"] == a.link("eth0")["mtu"] == host.link(a.device)["mtu"] == mtu
    for target in (OUTSIDE_FAR, HOST_ADDRESS):
        assert a.run("ping", "-n", "-c1", "-W2", "-Mdo", "-s", str(mtu - 28), target).returncode == 0
        assert a.run("ping", "-n", "-c1", "-W1", "-Mdo", "-s", str(mtu - 27), target, check=False).returncode
    host.nsbpf("expose", a.name, "5000/both")
    bulk(a, host.outside, OUTSIDE_FAR, MEBIBYTE)
    bulk(host.outside, a, HOST_ADDRESS, MEBIBYTE, port=5000)
    with mirror(a, "udp", 5000):
        datagrams(host.outside, HOST_ADDRESS, 5000, *SIZES)
    with mirror(host.outside, "udp") as server:
        datagrams(a, OUTSIDE_ADDRESS, server.port, *SIZES)


@pytest.mark.parametrize("mtu", [1280, 9000])
def test_mtu_of_the_endpoint_is_another(host, mtu):
    """Smaller or larger than the uplink's: TCP's own segment sizes see to it, both ways."""
    a = host.add("a", "--mtu", mtu)
    assert a.link("eth0")["mtu"] == mtu
    host.nsbpf("expose", a.name, "5000")
    bulk(a, host.outside, OUTSIDE_FAR, MEBIBYTE)
    bulk(host.outside, a, HOST_ADDRESS, MEBIBYTE, port=5000)


def test_larger_than_the_uplinks_mtu(host):
    a = host.add("a", "--mtu", "9000")
    wan, before = host.outside.capture("wan0"), host.json()["drops"]["too-big"]
    assert a.run("ping", "-n", "-c3", "-i0.2", "-W1", "-Mdo", "-s", "2000", OUTSIDE_FAR, check=False).returncode
    # One or the other may be lost before it gets here: the kernel's backlog is shared with all that runs beside.
    assert before < host.json()["drops"]["too-big"] <= before + 3
    assert a.run("ping", "-n", "-c1", "-W2", "-Mdo", "-s", "1472", OUTSIDE_FAR).returncode == 0
    assert {len(p.frame) for p in wan.expect(lambda p: IP in p and p[IP].src == HOST_ADDRESS)} == {1514}
