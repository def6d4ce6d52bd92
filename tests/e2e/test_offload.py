# SPDX-License-Identifier: GPL-2.0-only
"""Offloads on and off, MTUs, fragments: the bytes that arrive are those that were sent."""
import json
import os
import struct

import pytest
from scapy.layers.inet import UDP
from scapy.layers.l2 import Ether
from wire import GATEWAY_MAC, bulk, datagrams, mirror

pytestmark = pytest.mark.attach

MEBIBYTE = 1 << 20
KERNEL = tuple(int(part) for part in os.uname().release.split(".")[:2])
# linux/rtnetlink.h, linux/if_link.h
RTM_NEWLINK, NLM_F_REQUEST, NLM_F_ACK, IFLA_GSO_MAX_SIZE, IFLA_GSO_IPV4_MAX_SIZE = 16, 1, 4, 41, 63

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


def switch(netns, device, features, value):
    for feature in features.split():
        netns.run("ethtool", "-K", device, feature, value)


def places(host, a):
    return {"ns": (a, "eth0"), "veth": (host, a.device), "up0": (host, "up0"), "wan0": (host.outside, "wan0")}


@pytest.mark.parametrize("offload", OFFLOADS)
def test_pitfall_veth_offload_bulk_tcp(host, a, offload, family):
    for place, features in OFFLOADS[offload].items():
        switch(*places(host, a)[place], features, "off")
    host.nsbpf("expose", a.name, "5000")
    bulk(a, host.outside, family.far)
    bulk(host.outside, a, family.host, port=5000)


@pytest.mark.parametrize("offload", ["as they are", "all off", "endpoint: no checksum", "endpoint: no tso, no gso"])
def test_bulk_tcp_inside(host, a, b, offload, family):
    for netns in (a, b):
        for place, features in OFFLOADS[offload].items():
            switch(*places(host, netns)[place], features, "off")
    host.nsbpf("expose", b.name, "5000")
    bulk(a, b, b.address_of(family))
    bulk(a, host, family.host)
    bulk(host, a, a.address_of(family))
    bulk(a, b, family.host, port=5000)
    bulk(b, b, family.host, port=5000)
    bulk(host, b, family.loopback, port=5000)


TALK_TO_RTNETLINK = """
import os, socket, struct, sys
with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as rtnl:
    rtnl.send(bytes.fromhex(sys.argv[1]))
    error, = struct.unpack_from("=i", rtnl.recv(4096), 16)
if error:
    sys.exit(os.strerror(-error))
"""


def allow_big_tcp(netns, device, size=185000):
    """As `ip link set DEV gso_max_size N gso_ipv4_max_size N`, of which Debian 12's knows the first only."""
    attributes = b"".join(struct.pack("=HHI", 8, number, size) for number in (IFLA_GSO_MAX_SIZE, IFLA_GSO_IPV4_MAX_SIZE))
    body = struct.pack("=BxHiII", 0, 0, netns.link(device)["ifindex"], 0, 0) + attributes
    message = struct.pack("=IHHII", 16 + len(body), RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, 1, 0) + body
    netns.run("python3", "-c", TALK_TO_RTNETLINK, message.hex())


@pytest.mark.skipif(KERNEL < (6, 3), reason="no BIG TCP for IPv4")
@pytest.mark.parametrize("where", ["inside", "towards an uplink that is allowed as much", "towards one that is not"])
def test_big_tcp(host, a, b, where, family):
    """Packets of more than 64 KiB. Where the uplink takes them no larger, the kernel cuts them."""
    for netns in (a, b):
        allow_big_tcp(netns, "eth0")
    if where == "inside":
        bulk(a, b, b.address_of(family))
    else:
        if where == "towards an uplink that is allowed as much":
            allow_big_tcp(host, "up0")
            allow_big_tcp(host.outside, "wan0")
        host.nsbpf("expose", a.name, "5000")
        bulk(a, host.outside, family.far)
        bulk(host.outside, a, family.host, port=5000)
    assert host.json()["drops"]["malformed"] == 0


def test_bulk_tcp_with_gro_on_the_veths(host, a, family):
    """Off by default on a veth; on, packets of several segments come in by the uplink as from a real NIC."""
    for netns, device in places(host, a).values():
        switch(netns, device, "gro", "on")
    host.nsbpf("expose", a.name, "5000")
    switch(host.outside, "wan0", "tso", "off")
    switch(a, "eth0", "tso", "off")
    bulk(a, host.outside, family.far)
    bulk(host.outside, a, family.host, port=5000)


@pytest.mark.skipif(os.cpu_count() < 2, reason="a veth has as many queues as there are CPUs")
def test_pitfall_cilium_18311_transmit_queue_of_the_uplink(host, a, family):
    """The flow chooses it. If the queue did that the endpoint sent by, one of the uplink's would do all the work."""
    for netns, device in ((a, "eth0"), (host, "up0")):
        netns.run("ethtool", "-L", device, "tx", 2)
    host.run("tc", "qdisc", "replace", "dev", "up0", "root", "mq")  # counts by queue
    for queue, cpus in ((0, 0), (1, (1 << min(os.cpu_count(), 32)) - 1)):  # all of the endpoint's by its second one
        a.run("sh", "-ec", f"echo {cpus:x} > /sys/class/net/eth0/queues/tx-{queue}/xps_cpus", via="exec")
    # From no socket with a connection: that would remember its queue.
    header = Ether(src=a.info["mac"], dst=GATEWAY_MAC) / family.ip(a.address_of(family), family.far)
    with host.outside.capture("wan0") as wan:
        a.send("eth0", *[header / UDP(sport=port, dport=9) for port in range(2000, 2064)])
        wan.expect(lambda p: UDP in p and p[UDP].dport == 9, count=64)
    qdiscs = json.loads(host.run("tc", "-s", "-j", "qdisc", "show", "dev", "up0").stdout)
    sent = [qdisc["packets"] for qdisc in qdiscs if "parent" in qdisc and qdisc["kind"] != "clsact"]
    assert sum(sent) >= 64 and min(sent) >= 8, sent


def sizes(family):
    """Around one and two fragments, and the largest there is."""
    one, two = 1500 - family.header_size - 8, 2 * family.fragment_size - 8
    return one - 1, one, one + 1, two, two + 1, 1, 4096, 30000, 60000, family.largest_datagram


@pytest.mark.parametrize("offload", ["as they are", "all off"])
def test_large_datagrams(host, a, b, offload, family):
    for place, features in OFFLOADS[offload].items():
        switch(*places(host, a)[place], features, "off")
    host.nsbpf("expose", a.name, "5000/udp")
    with mirror(host.outside, "udp", address=family.any) as server:
        datagrams(a, family.far, server.port, *sizes(family))
    with mirror(a, "udp", 5000, family.any):
        for client, address in ((host.outside, family.host), (b, family.host), (a, family.host),
                                (b, a.address_of(family)), (host, a.address_of(family)), (host, family.loopback)):
            datagrams(client, address, 5000, *sizes(family))


def test_large_datagrams_are_fragments_on_the_wire(host, a, family):
    """So the test above shows what it says: 60000 bytes are 41 packets or more, all of the host's."""
    count = -(-60008 // family.fragment_size)
    wan = host.outside.capture("wan0")
    with mirror(host.outside, "udp", address=family.any) as server:
        datagrams(a, family.far, server.port, 60000)
    sent = wan.expect(lambda p: family.IP in p and p[family.IP].dst == family.far, count=count)
    assert {packet[family.IP].src for packet in sent} == {family.host}
    assert sorted(map(family.offset, sent)) == [family.fragment_size * number for number in range(count)]
    assert [packet for packet in sent if UDP in packet]


@pytest.mark.parametrize("mtu", [1280, 1400, 9000])
def test_pitfall_moby_22297_20178_mtu_of_the_uplink(host, mtu, family):
    host.ip("link", "set", "up0", "mtu", str(mtu))
    host.outside.ip("link", "set", "wan0", "mtu", str(mtu))
    a = host.add("a")
    assert a.info["mtu"] == a.link("eth0")["mtu"] == host.link(a.device)["mtu"] == mtu
    headers = family.header_size + 8
    for target in (family.far, family.host):
        assert a.run("ping", "-n", "-c1", "-W2", "-Mdo", "-s", mtu - headers, target).returncode == 0
        assert a.run("ping", "-n", "-c1", "-W1", "-Mdo", "-s", mtu - headers + 1, target,
                     check=False).returncode
    host.nsbpf("expose", a.name, "5000/both")
    bulk(a, host.outside, family.far, MEBIBYTE)
    bulk(host.outside, a, family.host, MEBIBYTE, port=5000)
    with mirror(a, "udp", 5000, family.any):
        datagrams(host.outside, family.host, 5000, *sizes(family))
    with mirror(host.outside, "udp", address=family.any) as server:
        datagrams(a, family.outside, server.port, *sizes(family))


@pytest.mark.parametrize("mtu", [1280, 9000])
def test_mtu_of_the_endpoint_is_another(host, mtu, family):
    """Smaller or larger than the uplink's: TCP's own segment sizes see to it, both ways."""
    a = host.add("a", "--mtu", mtu)
    assert a.link("eth0")["mtu"] == mtu
    host.nsbpf("expose", a.name, "5000")
    bulk(a, host.outside, family.far, MEBIBYTE)
    bulk(host.outside, a, family.host, MEBIBYTE, port=5000)


def test_larger_than_the_uplinks_mtu(host, family):
    a = host.add("a", "--mtu", "9000")
    wan, before = host.outside.capture("wan0"), host.json()["drops"]["too-big"]
    assert a.run("ping", "-n", "-c3", "-i0.2", "-W1", "-Mdo", "-s", "2000", family.far, check=False).returncode
    # One or the other may be lost before it gets here: the kernel's backlog is shared with all that runs beside.
    assert before < host.json()["drops"]["too-big"] <= before + 3
    assert a.run("ping", "-n", "-c1", "-W2", "-Mdo", "-s", 1500 - family.header_size - 8, family.far).returncode == 0
    assert {len(p.frame) for p in wan.expect(family.is_request)} == {1514}
