# SPDX-License-Identifier: GPL-2.0-only
"""Fragments in any order, sent one by one: the datagram that its receiver puts together is the one that was sent."""
import itertools
import os

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6ExtHdrFragment
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from tools import Catch
from wire import GATEWAY_MAC, datagrams, mirror, wrong_checksums

pytestmark = pytest.mark.attach

PERMUTATIONS = list(itertools.permutations(range(3)))
_idents = itertools.count(1)


@pytest.fixture
def a(host):
    a = host.add("a")
    host.nsbpf("expose", a.name, "5000:80/udp")
    return a


def ether(host, netns):
    """Of what this namespace sends towards the host, and the device that it sends it by."""
    if netns is host.outside:
        return Ether(src=netns.link("wan0")["address"], dst=host.link("up0")["address"]), "wan0"
    return Ether(src=netns.info["mac"], dst=GATEWAY_MAC), "eth0"


def scatter(host, netns, family, dst, *orders, src=None, sport=4000, dport, length=4000):
    """One datagram for each order of its fragments; the data of all."""
    header, device = ether(host, netns)
    src = src or (family.far if netns is host.outside else netns.address_of(family))
    frames, sent = [], []
    for order in orders:
        data = os.urandom(length)
        packet = header / family.ip(src, dst) / UDP(sport=sport, dport=dport) / Raw(data)
        parts = family.fragments(packet, next(_idents))
        assert sorted(order) == list(range(len(parts)))
        frames += [parts[index] for index in order]
        sent.append(data)
    netns.send(device, *frames)
    return sent


def whole_reply(family, netns, number, data):
    """The bytes of the ICMP message that a namespace gets from the far end, its checksum by scapy."""
    reply = family.ip(family.far, netns.address_of(family)) / family.reply(id=9, seq=number) / Raw(data)
    return bytes(reply)[family.header_size:]


class TestAnyOrder:
    def test_pitfall_cilium_25709_masquerade(self, host, a, family):
        caught = host.outside.agent(Catch, "udp", 0, family.any)
        caught.has(*scatter(host, a, family, family.far, *PERMUTATIONS, dport=caught.port))
        assert {(line["peer"], line["port"]) for line in caught.lines[1:]} == {(family.host, 4000)}

    def test_answers(self, host, a, family):
        caught = a.agent(Catch, "udp", 4000, family.any)
        server = host.outside.agent(Catch, "udp", 53, family.any)
        server.has(*scatter(host, a, family, family.far, (0,), dport=53, length=10))
        caught.has(*scatter(host, host.outside, family, family.host, *PERMUTATIONS, sport=53, dport=4000))
        assert {(line["peer"], line["port"]) for line in caught.lines[1:]} == {(family.far, 53)}

    def test_exposed(self, host, a, family):
        caught = a.agent(Catch, "udp", 80, family.any)
        caught.has(*scatter(host, host.outside, family, family.host, *PERMUTATIONS, dport=5000))
        assert {(line["peer"], line["port"]) for line in caught.lines[1:]} == {(family.far, 4000)}

    @pytest.mark.parametrize("client", ["neighbour", "itself"])
    def test_hairpin(self, host, a, b, client, family):
        client = a if client == "itself" else b
        caught = a.agent(Catch, "udp", 80, family.any)
        caught.has(*scatter(host, client, family, family.host, *PERMUTATIONS, dport=5000))
        assert {line["peer"] for line in caught.lines[1:]} == {family.host}

    def test_last_one_first_of_45(self, host, a, b, family):
        """64 KiB; the largest datagram there is, or nearly so."""
        length = 65507
        order = range(length // family.fragment_size, -1, -1)
        caught = host.outside.agent(Catch, "udp", 0, family.any)
        caught.has(*scatter(host, a, family, family.far, order, dport=caught.port, length=length))
        caught = a.agent(Catch, "udp", 80, family.any)
        data = scatter(host, host.outside, family, family.host, order, dport=5000, length=length)
        data += scatter(host, b, family, family.host, order, dport=5000, length=length)
        caught.has(*data)

    def test_pitfall_cilium_22624_45339_16036_ping(self, host, a, family):
        """The last fragment is shorter than an ICMP header. The answer is the other stack's, in fragments as well."""
        caught = a.agent(Catch, "icmp", 0, family.any)
        header, _ = ether(host, a)
        wanted = []
        for order in PERMUTATIONS:
            data = os.urandom(2 * family.fragment_size - 8 + 3)
            asked = family.ip(a.address_of(family), family.far) / family.request(id=9, seq=len(wanted)) / Raw(data)
            parts = family.fragments(header / asked, next(_idents))
            a.send("eth0", *(parts[index] for index in order))
            wanted.append(whole_reply(family, a, len(wanted), data))
        caught.has(*wanted)

    def test_answers_to_pings(self, host, a, family):
        host.outside.sysctl(family.ignore_echo, "1")
        caught, wan = a.agent(Catch, "icmp", 0, family.any), host.outside.capture("wan0")
        header, _ = ether(host, a)
        a.send("eth0", header / family.ip(a.address_of(family), family.far) / family.request(id=9))
        asked, = wan.expect(family.is_request)
        header, device = ether(host, host.outside)
        wanted = []
        for order in PERMUTATIONS:
            data = os.urandom(4000)
            answer = family.reply(id=family.echo(asked).id, seq=len(wanted)) / Raw(data)
            parts = family.fragments(header / family.ip(family.far, family.host) / answer, next(_idents))
            host.outside.send(device, *(parts[index] for index in order))
            wanted.append(whole_reply(family, a, len(wanted), data))
        caught.has(*wanted)

    def test_several_datagrams_at_once(self, host, a, b, family):
        """Two endpoints, the same identifications and ports, all fragments of all mixed."""
        caught, sent = host.outside.agent(Catch, "udp", 0, family.any), []
        frames = {a: [], b: []}
        for netns, address in ((a, family.far), (b, family.outside)):
            header, _ = ether(host, netns)
            for ident in range(5):
                data = os.urandom(4000)
                packet = header / family.ip(netns.address_of(family), address) / \
                    UDP(sport=4000, dport=caught.port) / Raw(data)
                frames[netns].append(family.fragments(packet, ident))
                sent.append(data)
        for index in (2, 0, 1):
            for netns, datagrams_of_it in frames.items():
                netns.send("eth0", *(parts[index] for parts in datagrams_of_it))
        caught.has(*sent)


class TestHostsOwn:
    """Whoever's they are is known when the first one comes; the host's stack has them all by then."""

    @pytest.mark.parametrize("port", [53, 5001])
    def test_from_outside(self, host, a, port, family):
        caught = host.agent(Catch, "udp", port, family.any)
        for address in (family.outside, family.far):
            before = len(caught.lines) - 1
            caught.has(*scatter(host, host.outside, family, family.host, *PERMUTATIONS, src=address, dport=port),
                       before=before)

    @pytest.mark.parametrize("target", ["host", "gateway", "neighbour"])
    def test_of_an_endpoint(self, host, a, b, target, family):
        caught = (b if target == "neighbour" else host).agent(Catch, "udp", 5001, family.any)
        address = {"host": family.host, "gateway": a.gateway_of(family), "neighbour": b.address_of(family)}[target]
        caught.has(*scatter(host, a, family, address, *PERMUTATIONS, dport=5001))

    def test_one_identification_for_the_hosts_and_an_endpoints(self, host, a, family):
        """One after the other, in both orders: what the first was says nothing about the second."""
        own, inside = host.agent(Catch, "udp", 5001, family.any), a.agent(Catch, "udp", 80, family.any)
        header, device = ether(host, host.outside)
        sent = {5000: [], 5001: []}
        for ports in ((5000, 5001), (5001, 5000)):
            for port in ports:
                data = os.urandom(4000)
                packet = header / family.ip(family.far, family.host) / UDP(sport=4000, dport=port) / Raw(data)
                host.outside.send(device, *family.fragments(packet, 60000 + ports[0]))
                sent[port].append(data)
        inside.has(*sent[5000])
        own.has(*sent[5001])


def later_ones(header, family, src, dst, count, seed):
    """That many fragments, none of them a first one, all of different datagrams."""
    for number in range(seed, seed + count):
        if family.number == 4:
            packet = family.ip(src, dst, proto=17, id=number, flags="MF", frag=8)
        else:
            packet = family.ip(src, dst) / IPv6ExtHdrFragment(nh=17, id=number, m=1, offset=8)
        yield bytes(header / packet / Raw(bytes(64)))


class TestFlood:
    """Of fragments whose first one never comes: more than there is room for, all the time."""

    def test_from_an_endpoint_and_from_outside(self, host, a, b, family):
        flood = [bytes(frame) for seed in range(0, 3000, 1000)
                 for frame in later_ones(ether(host, b)[0], family, b.address_of(family), family.far, 1000, seed)]
        other = list(later_ones(ether(host, host.outside)[0], family, family.outside, family.host, 1000, 0))
        with mirror(host.outside, "udp", address=family.any) as far, mirror(a, "udp", 80, family.any), \
                mirror(host, "udp", 5002, family.any):
            for frames, netns, device in ((flood, b, "eth0"), (other, host.outside, "wan0")):
                netns.send(device, *frames)
                for client, address, port in ((a, family.far, far.port), (host.outside, family.host, 5000),
                                              (b, family.host, 5000), (host, family.far, far.port),
                                              (host.outside, family.host, 5002)):
                    datagrams(client, address, port, 4000, 60000)

    def test_last_ones_first_afterwards(self, host, a, b, family):
        header, device = ether(host, b)
        b.send(device, *later_ones(header, family, b.address_of(family), family.far, 1000, 0))
        caught = host.outside.agent(Catch, "udp", 0, family.any)
        caught.has(*scatter(host, a, family, family.far, *PERMUTATIONS, dport=caught.port))


def test_on_the_wire(host, a, family):
    """First one first, whatever came in before it; every fragment translated, none twice, and none of another address."""
    wan = host.outside.capture("wan0")
    caught = host.outside.agent(Catch, "udp", 0, family.any)
    scatter(host, a, family, family.far, (2, 1, 0), dport=caught.port)
    seen = wan.expect(lambda p: family.IP in p and p[family.IP].dst == family.far, count=3)
    assert [(p[family.IP].src, family.offset(p), family.hops(p)) for p in seen] == [
        (family.host, number * family.fragment_size, 63) for number in (0, 2, 1)]
    assert not [wrong_checksums(p) for p in seen if wrong_checksums(p)]
    assert not wan.matching(lambda p: family.IP in p and p[family.IP].src == a.address_of(family))


def test_counted_once(host, a, family):
    """However often the programs have seen them."""
    caught, before = host.outside.agent(Catch, "udp", 0, family.any), a.info
    caught.has(*scatter(host, a, family, family.far, (2, 1, 0), dport=caught.port))
    inside, between = a.agent(Catch, "udp", 80, family.any), a.info
    inside.has(*scatter(host, host.outside, family, family.host, (2, 1, 0), dport=5000))
    after = a.info
    size = 4000 + 8 + 3 * (14 + family.fragment_header_size)
    assert [between[name] - before[name] for name in ("tx_packets", "tx_bytes")] == [3, size]
    assert [after[name] - between[name] for name in ("rx_packets", "rx_bytes")] == [3, size]


def test_larger_ones_by_an_mtu_of_9000(host, family):
    """Jumbo fragments are held as well."""
    for netns, device in ((host, "up0"), (host.outside, "wan0")):
        netns.ip("link", "set", device, "mtu", "9000")
    a = host.add("a")
    caught = host.outside.agent(Catch, "udp", 0, family.any)
    header, device = ether(host, a)
    data = os.urandom(30000)
    packet = header / family.ip(a.address_of(family), family.far) / UDP(sport=4000, dport=caught.port) / Raw(data)
    parts = family.fragments(packet, next(_idents), 8936)
    a.send(device, *reversed(parts))
    caught.has(data)
