# SPDX-License-Identifier: GPL-2.0-only
"""Fragments in any order, sent one by one: the datagram that its receiver puts together is the one that was sent."""
import itertools
import os
import struct

import pytest
from scapy.layers.inet import ICMP, IP, UDP, fragment
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from tools import Catch
from topology import HOST_ADDRESS, OUTSIDE_ADDRESS, OUTSIDE_FAR
from wire import GATEWAY_MAC, datagrams, mirror, wrong_checksums

pytestmark = pytest.mark.attach

PERMUTATIONS = list(itertools.permutations(range(3)))
_idents = itertools.count(1)


@pytest.fixture
def a(host):
    a = host.add("a")
    host.nsbpf("expose", a.name, "5000:80/udp")
    return a


@pytest.fixture
def b(host, a):
    return host.add("b")


def ether(host, netns):
    """Of what this namespace sends towards the host, and the device that it sends it by."""
    if netns is host.outside:
        return Ether(src=netns.link("wan0")["address"], dst=host.link("up0")["address"]), "wan0"
    return Ether(src=netns.info["mac"], dst=GATEWAY_MAC), "eth0"


def parts_of(packet, size=1480):
    packet[IP].id = next(_idents)
    return fragment(Ether(bytes(packet)), size)


def scatter(host, netns, ip, *orders, sport=4000, dport, length=4000):
    """One datagram for each order of its fragments; the data of all."""
    header, device = ether(host, netns)
    frames, sent = [], []
    for order in orders:
        data = os.urandom(length)
        parts = parts_of(header / ip / UDP(sport=sport, dport=dport) / Raw(data))
        assert sorted(order) == list(range(len(parts)))
        frames += [parts[index] for index in order]
        sent.append(data)
    netns.send(device, *frames)
    return sent


class TestAnyOrder:
    def test_pitfall_cilium_25709_masquerade(self, host, a):
        caught = host.outside.agent(Catch, "udp")
        ip = IP(src=a.address, dst=OUTSIDE_FAR)
        caught.has(*scatter(host, a, ip, *PERMUTATIONS, dport=caught.port))
        assert {(line["peer"], line["port"]) for line in caught.lines[1:]} == {(HOST_ADDRESS, 4000)}

    def test_answers(self, host, a):
        caught = a.agent(Catch, "udp", 4000)
        server = host.outside.agent(Catch, "udp", 53)
        server.has(*scatter(host, a, IP(src=a.address, dst=OUTSIDE_FAR), (0,), dport=53, length=10))
        ip = IP(src=OUTSIDE_FAR, dst=HOST_ADDRESS)
        caught.has(*scatter(host, host.outside, ip, *PERMUTATIONS, sport=53, dport=4000))
        assert {(line["peer"], line["port"]) for line in caught.lines[1:]} == {(OUTSIDE_FAR, 53)}

    def test_exposed(self, host, a):
        caught = a.agent(Catch, "udp", 80)
        ip = IP(src=OUTSIDE_FAR, dst=HOST_ADDRESS)
        caught.has(*scatter(host, host.outside, ip, *PERMUTATIONS, dport=5000))
        assert {(line["peer"], line["port"]) for line in caught.lines[1:]} == {(OUTSIDE_FAR, 4000)}

    @pytest.mark.parametrize("client", ["neighbour", "itself"])
    def test_hairpin(self, host, a, b, client):
        client = a if client == "itself" else b
        caught = a.agent(Catch, "udp", 80)
        ip = IP(src=client.address, dst=HOST_ADDRESS)
        caught.has(*scatter(host, client, ip, *PERMUTATIONS, dport=5000))
        assert {line["peer"] for line in caught.lines[1:]} == {HOST_ADDRESS}

    def test_last_one_first_of_45(self, host, a, b):
        """64 KiB; the largest datagram there is."""
        order, length = range(44, -1, -1), 65507
        caught = host.outside.agent(Catch, "udp")
        ip = IP(src=a.address, dst=OUTSIDE_FAR)
        caught.has(*scatter(host, a, ip, order, dport=caught.port, length=length))
        caught = a.agent(Catch, "udp", 80)
        data = scatter(host, host.outside, IP(src=OUTSIDE_FAR, dst=HOST_ADDRESS), order, dport=5000, length=length)
        data += scatter(host, b, IP(src=b.address, dst=HOST_ADDRESS), order, dport=5000, length=length)
        caught.has(*data)

    def test_pitfall_cilium_22624_45339_16036_ping(self, host, a):
        """The last fragment is shorter than an ICMP header. The answer is the other stack's, in fragments as well."""
        caught = a.agent(Catch, "icmp")
        header, _ = ether(host, a)
        wanted = []
        for order in PERMUTATIONS:
            data = os.urandom(2 * 1480 - 8 + 3)
            parts = parts_of(header / IP(src=a.address, dst=OUTSIDE_FAR) / ICMP(id=9, seq=len(wanted)) / Raw(data))
            a.send("eth0", *(parts[index] for index in order))
            wanted.append(bytes(ICMP(type=0, id=9, seq=len(wanted)) / Raw(data)))
        caught.has(*wanted)

    def test_answers_to_pings(self, host, a):
        host.outside.sysctl("net.ipv4.icmp_echo_ignore_all", "1")
        caught, wan = a.agent(Catch, "icmp"), host.outside.capture("wan0")
        header, _ = ether(host, a)
        a.send("eth0", header / IP(src=a.address, dst=OUTSIDE_FAR) / ICMP(id=9))
        asked, = wan.expect(lambda p: ICMP in p and p[ICMP].type == 8)
        header, device = ether(host, host.outside)
        wanted = []
        for order in PERMUTATIONS:
            data = os.urandom(4000)
            answer = ICMP(type=0, id=asked[ICMP].id, seq=len(wanted)) / Raw(data)
            parts = parts_of(header / IP(src=OUTSIDE_FAR, dst=HOST_ADDRESS) / answer)
            host.outside.send(device, *(parts[index] for index in order))
            wanted.append(bytes(ICMP(type=0, id=9, seq=len(wanted)) / Raw(data)))
        caught.has(*wanted)

    def test_several_datagrams_at_once(self, host, a, b):
        """Two endpoints, the same identifications and ports, all fragments of all mixed."""
        caught, sent = host.outside.agent(Catch, "udp"), []
        frames = {a: [], b: []}
        for netns, address in ((a, OUTSIDE_FAR), (b, OUTSIDE_ADDRESS)):
            header, _ = ether(host, netns)
            for ident in range(5):
                data = os.urandom(4000)
                packet = header / IP(src=netns.address, dst=address, id=ident) / \
                    UDP(sport=4000, dport=caught.port) / Raw(data)
                frames[netns].append(fragment(Ether(bytes(packet)), 1480))
                sent.append(data)
        for index in (2, 0, 1):
            for netns, datagrams_of_it in frames.items():
                netns.send("eth0", *(parts[index] for parts in datagrams_of_it))
        caught.has(*sent)


class TestHostsOwn:
    """Whoever's they are is known when the first one comes; the host's stack has them all by then."""

    @pytest.mark.parametrize("port", [53, 5001])
    def test_from_outside(self, host, a, port):
        caught = host.agent(Catch, "udp", port)
        for address in (OUTSIDE_ADDRESS, OUTSIDE_FAR):
            before = len(caught.lines) - 1
            ip = IP(src=address, dst=HOST_ADDRESS)
            caught.has(*scatter(host, host.outside, ip, *PERMUTATIONS, dport=port), before=before)

    @pytest.mark.parametrize("target", ["host", "gateway", "neighbour"])
    def test_of_an_endpoint(self, host, a, b, target):
        caught = (b if target == "neighbour" else host).agent(Catch, "udp", 5001)
        address = {"host": HOST_ADDRESS, "gateway": a.info["gateway"], "neighbour": b.address}[target]
        caught.has(*scatter(host, a, IP(src=a.address, dst=address), *PERMUTATIONS, dport=5001))

    def test_one_identification_for_the_hosts_and_an_endpoints(self, host, a):
        """One after the other, in both orders: what the first was says nothing about the second."""
        own, inside = host.agent(Catch, "udp", 5001), a.agent(Catch, "udp", 80)
        header, device = ether(host, host.outside)
        sent = {5000: [], 5001: []}
        for ports in ((5000, 5001), (5001, 5000)):
            for port in ports:
                data = os.urandom(4000)
                packet = header / IP(src=OUTSIDE_FAR, dst=HOST_ADDRESS, id=60000 + ports[0]) / \
                    UDP(sport=4000, dport=port) / Raw(data)
                host.outside.send(device, *fragment(Ether(bytes(packet)), 1480))
                sent[port].append(data)
        inside.has(*sent[5000])
        own.has(*sent[5001])


def later_ones(header, ip, count, seed):
    """That many fragments, none of them a first one, all of different datagrams."""
    packet = bytearray(bytes(header / ip / Raw(bytes(64))))
    for number in range(count):
        struct.pack_into("!HH", packet, 18, seed + number, 0x2000 | 8)
        frame = Ether(bytes(packet))
        del frame[IP].chksum
        yield bytes(frame)


class TestFlood:
    """Of fragments whose first one never comes: more than there is room for, all the time."""

    def test_from_an_endpoint_and_from_outside(self, host, a, b):
        flood = [bytes(frame) for seed in range(0, 3000, 1000)
                 for frame in later_ones(ether(host, b)[0], IP(src=b.address, dst=OUTSIDE_FAR, proto=17), 1000, seed)]
        other = list(later_ones(ether(host, host.outside)[0], IP(src=OUTSIDE_ADDRESS, dst=HOST_ADDRESS, proto=17), 1000, 0))
        with mirror(host.outside, "udp") as far, mirror(a, "udp", 80), mirror(host, "udp", 5002):
            for frames, netns, device in ((flood, b, "eth0"), (other, host.outside, "wan0")):
                netns.send(device, *frames)
                for client, address, port in ((a, OUTSIDE_FAR, far.port), (host.outside, HOST_ADDRESS, 5000),
                                              (b, HOST_ADDRESS, 5000), (host, OUTSIDE_FAR, far.port),
                                              (host.outside, HOST_ADDRESS, 5002)):
                    datagrams(client, address, port, 4000, 60000)

    def test_last_ones_first_afterwards(self, host, a, b):
        header, device = ether(host, b)
        b.send(device, *later_ones(header, IP(src=b.address, dst=OUTSIDE_FAR, proto=17), 1000, 0))
        caught = host.outside.agent(Catch, "udp")
        ip = IP(src=a.address, dst=OUTSIDE_FAR)
        caught.has(*scatter(host, a, ip, *PERMUTATIONS, dport=caught.port))


def test_on_the_wire(host, a):
    """First one first, whatever came in before it; every fragment translated, none twice, and none of another address."""
    wan = host.outside.capture("wan0")
    caught = host.outside.agent(Catch, "udp")
    scatter(host, a, IP(src=a.address, dst=OUTSIDE_FAR), (2, 1, 0), dport=caught.port)
    seen = wan.expect(lambda p: IP in p and p[IP].dst == OUTSIDE_FAR, count=3)
    assert [(p[IP].src, p[IP].frag, p[IP].ttl) for p in seen] == [(HOST_ADDRESS, 0, 63), (HOST_ADDRESS, 370, 63),
                                                                 (HOST_ADDRESS, 185, 63)]
    for packet in seen:
        packet.ether[IP].remove_payload()  # only the header's checksum is this packet's own
        assert not wrong_checksums(packet)
    assert not wan.matching(lambda p: IP in p and p[IP].src == a.address)


def test_counted_once(host, a):
    """However often the programs have seen them."""
    caught, before = host.outside.agent(Catch, "udp"), a.info
    caught.has(*scatter(host, a, IP(src=a.address, dst=OUTSIDE_FAR), (2, 1, 0), dport=caught.port))
    inside, between = a.agent(Catch, "udp", 80), a.info
    inside.has(*scatter(host, host.outside, IP(src=OUTSIDE_FAR, dst=HOST_ADDRESS), (2, 1, 0), dport=5000))
    after = a.info
    assert [between[name] - before[name] for name in ("tx_packets", "tx_bytes")] == [3, 4000 + 8 + 3 * 34]
    assert [after[name] - between[name] for name in ("rx_packets", "rx_bytes")] == [3, 4000 + 8 + 3 * 34]


def test_larger_ones_by_an_mtu_of_9000(host):
    """Jumbo fragments are held as well."""
    for netns, device in ((host, "up0"), (host.outside, "wan0")):
        netns.ip("link", "set", device, "mtu", "9000")
    a = host.add("a")
    caught = host.outside.agent(Catch, "udp")
    header, device = ether(host, a)
    data = os.urandom(30000)
    parts = parts_of(header / IP(src=a.address, dst=OUTSIDE_FAR) / UDP(sport=4000, dport=caught.port) /
                     Raw(data), 8976)
    a.send(device, *reversed(parts))
    caught.has(data)
