# SPDX-License-Identifier: GPL-2.0-only
"""Exposed ports: who reaches them by which way, whom the endpoint sees, and what ends when they are withdrawn."""
import pytest
from exposing import PROTOS, add_addresses, answers, echoes, other_family, refused
from scapy.layers.inet import TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from wire import echo, question


@pytest.mark.attach
class TestWhoGetsThere:
    def test_pitfall_moby_7540_15086_from_outside(self, host, a, family):
        host.nsbpf("expose", a.name, "5000/both")
        with echoes(a, 5000, family.any):
            for source in (family.outside, family.far):
                for seen in answers(host.outside, family.host, 5000, source=source, source_port=1234):
                    assert (seen["peer"], seen["port"]) == (source, 1234)
                    assert (seen["local_port"], seen["data"]) == (5000, "hello")

    def test_from_outside_by_every_address_of_the_host(self, host, a, family):
        add_addresses(host, family)
        host.nsbpf("expose", a.name, "5000/both")
        with echoes(a, 5000, family.any):
            for address in (family.host, family.second, family.third):
                for seen in answers(host.outside, address, 5000):
                    assert seen["peer"] == family.outside

    def test_pitfall_cni_68_nomad_13352_hairpin(self, host, a, b, family):
        host.nsbpf("network", "add", "other", family.subnet_option, family.subnets[0])
        c = host.add("c", "--network", "other")
        host.nsbpf("expose", a.name, "5000:80/both")
        local = (a.address_of(family), 80)
        with echoes(a, 80, family.any):
            for client in (a, b, c):
                for seen in answers(client, family.host, 5000):
                    assert (seen["peer"], seen["local"], seen["local_port"]) == (family.host, *local)
                # by whichever address of the host: the peer sees what the outside would (RFC 4787 REQ-9)
                for seen in answers(client, client.gateway_of(family), 5000):
                    assert seen["peer"] == family.host

    def test_one_host_address(self, host, a, b, family):
        add_addresses(host, family)
        host.nsbpf("expose", a.name, family.at(family.second, "5000/both"))
        with echoes(a, 5000, "::"):
            for client in (host.outside, b, a, host):
                for seen in answers(client, family.second, 5000):
                    assert seen["local_port"] == 5000
                assert refused(client, family.host, 5000)
            assert refused(host, family.loopback, 5000)

    @pytest.mark.parametrize("proto", PROTOS)
    def test_an_address_is_of_one_family(self, host, a, b, family, proto):
        """The same port at the host's address of the other family may be the host's own."""
        other = other_family(family)
        with echo(host, proto, 5000, other.host), echo(a, proto, 5000, family.any):
            host.nsbpf("expose", a.name, family.at(family.host, f"5000/{proto}"))
            for client in (host.outside, b, host):
                assert question(client, proto, family.host, 5000)["local"] == a.address_of(family)
                assert question(client, proto, other.host, 5000)["local"] == other.host

    def test_any_address_is_of_both(self, host, a, b, family):
        """One server, as most are: on [::], for both. It sees IPv4 clients by their mapped addresses."""
        host.nsbpf("expose", a.name, "5000/both")
        prefix = "" if family.number == 6 else "::ffff:"
        with echoes(a, 5000, "::"):
            for client, address, peer in ((host.outside, family.host, family.outside), (b, family.host, family.host),
                                          (host, family.loopback, a.gateway_of(family))):
                assert {seen["peer"] for seen in answers(client, address, 5000)} == {prefix + peer}

    def test_one_port_on_two_addresses(self, host, a, b, family):
        add_addresses(host, family)
        host.nsbpf("expose", a.name, family.at(family.second, "5000/both"))
        host.nsbpf("expose", b.name, family.at(family.host, "5000/both"))
        with echoes(a, 5000, family.any), echoes(b, 5000, family.any):
            for client in (host.outside, host, a):
                for address, endpoint in ((family.second, a), (family.host, b)):
                    for seen in answers(client, address, 5000):
                        assert seen["local"] == endpoint.address_of(family)

    def test_pitfall_moby_41872_45610_kubernetes_90259_loopback_only(self, host, a, b, family):
        host.nsbpf("expose", a.name, family.at(family.loopback, "5000/both"))
        inside = a.capture("eth0")
        strangers = (family.outside, b.address_of(family))
        with echoes(a, 5000, family.any):
            for seen in answers(host, family.loopback, 5000):
                assert seen["local"] == a.address_of(family)
            for client in (host.outside, b, a, host):
                assert refused(client, family.host, 5000)
            # A neighbour on the uplink may write a loopback address into a packet, even if the host routes 127.0.0.1.
            host.sysctl("net.ipv4.conf.all.route_localnet", "1")
            before = len(inside.packets)
            for l4 in (TCP(sport=9, dport=5000, flags="S"), UDP(sport=9, dport=5000) / Raw(b"x")):
                for netns, device, target, source in ((host.outside, "wan0", "up0", strangers[0]),
                                                      (b, "eth0", b.device, strangers[1])):
                    netns.send(device, Ether(src=netns.link(device)["address"], dst=host.link(target)["address"]) /
                               family.ip(source, family.loopback) / l4)
            for seen in answers(host, family.loopback, 5000):
                assert seen["data"] == "hello"
            assert not [p for p in inside.packets[before:] if family.IP in p and p[family.IP].src in strangers]

    def test_pitfall_moby_22054_4737_only_for_some_sources(self, host, a, b, family):
        host.nsbpf("expose", a.name, "5000/both", "--from", f"{family.far}/{family.length}", "--from",
                   b.address_of(family))
        before = host.json()["drops"]["source"]
        with echoes(a, 5000, family.any):
            for seen in answers(host.outside, family.host, 5000, source=family.far):
                assert seen["peer"] == family.far
            assert answers(b, family.host, 5000)
            assert refused(host.outside, family.host, 5000, source=family.outside)
            assert refused(a, family.host, 5000)
        assert host.json()["drops"]["source"] >= before + 4

    def test_sources_of_one_family_leave_the_other_out(self, host, a, family):
        """In ::/0 there is no IPv4 address, although the mapped ones look so."""
        other = other_family(family)
        host.nsbpf("expose", a.name, "5000/both", "--from", f"{family.any}/0")
        before = host.json()["drops"]["source"]
        with echoes(a, 5000, "::"):
            assert answers(host.outside, family.host, 5000)
            assert refused(host.outside, other.host, 5000)
        assert host.json()["drops"]["source"] >= before + 2

    def test_of_a_routed_network(self, host, a, family):
        """Its endpoint is reached by the host's address, too, and reaches others' ports like that."""
        host.nsbpf("network", "add", "routed", "--mode", "routed", family.subnet_option, family.subnets[0])
        c = host.add("c", "--network", "routed")
        host.nsbpf("expose", c.name, "5000:80/both")
        host.nsbpf("expose", a.name, "6000:80/both")
        with echoes(c, 80, family.any), echoes(a, 80, family.any):
            for client, address in ((host.outside, family.host), (a, family.host), (c, family.host),
                                    (host, family.loopback), (host, family.host)):
                for port, endpoint in ((5000, c), (6000, a)):
                    for seen in answers(client, address, port):
                        assert seen["local"] == endpoint.address_of(family)
                        if client is host.outside:
                            assert seen["peer"] == family.outside

    def test_range_shifted(self, host, a, b, family):
        host.nsbpf("expose", a.name, "6000-6999:7000/both")
        for entry in host.json("ports"):
            assert (entry["first"], entry["last"], entry["target"]) == (6000, 6999, 7000)
        for asked in (6000, 6500, 6999):
            with echoes(a, asked + 1000, family.any):
                for client, address in ((host.outside, family.host), (b, family.host), (a, family.host),
                                        (host, family.loopback)):
                    for seen in answers(client, address, asked):
                        assert seen["local_port"] == asked + 1000
        for asked in (5999, 7000):
            with echoes(a, 5999 if asked == 5999 else 8000, family.any):
                assert refused(host.outside, family.host, asked)

    def test_a_range_of_one_address(self, host, a, b, family):
        host.nsbpf("expose", a.name, family.at(family.host, "6000-6010:7000/both"))
        with echoes(a, 7005, family.any):
            for client in (host.outside, b, host):
                for seen in answers(client, family.host, 6005):
                    assert seen["local_port"] == 7005

    def test_pitfall_moby_11185_34328_14288_the_whole_port_range(self, host, a, family):
        host.nsbpf("expose", a.name, "2000-65535/both")
        assert len(host.json("ports")) == 2
        for port in (2000, 40000, 65535):
            with echoes(a, port, family.any):
                for seen in answers(host.outside, family.host, port):
                    assert seen["local_port"] == port


def test_both_protocols_at_once(host, a):
    host.nsbpf("expose", a.name, "5000/both")
    assert sorted(entry["protocol"] for entry in host.json("ports")) == PROTOS


@pytest.mark.attach
def test_nobody_listens(host, a, b, family):
    """The endpoint's refusal comes back as the host's."""
    host.nsbpf("expose", a.name, "5000")
    for client, address in ((host.outside, family.host), (b, family.host), (host, family.host), (host, family.loopback)):
        assert client.tcp(address, 5000)["error"] == "ECONNREFUSED"


@pytest.mark.attach
def test_pitfall_cni_123_exposed_while_packets_flow(host, a, family):
    """A client that asks all the time gets its answer as soon as the port is exposed."""
    with a.udp_echo(5000, family.any):
        session = host.outside.udp_session(family.host, 5000, source_port=1234, timeout=0.3)
        assert session.ask().get("error")
        host.nsbpf("expose", a.name, "5000/udp")
        assert question(host.outside, "udp", family.host, 5000, source_port=1234)["port"] == 1234


@pytest.mark.attach
class TestUnexpose:
    @pytest.mark.parametrize("client", ["outside", "neighbour", "itself"])
    def test_ends_live_tcp(self, host, a, b, client, family):
        host.nsbpf("expose", a.name, "5000")
        netns = {"outside": host.outside, "neighbour": b, "itself": a}[client]
        inside = a.capture("eth0")
        with a.tcp_echo(5000, family.any) as server:
            session = netns.tcp_session(family.host, 5000, timeout=1.0)
            assert session.ask()["data"] == "hello"
            host.nsbpf("unexpose", a.name, "5000")
            seen = len(server.seen)
            assert session.ask("after").get("error")
            assert netns.tcp(family.host, 5000, timeout=0.7).get("error")
            assert not [line for line in server.seen[seen:] if line.get("data") == "after"]
        assert not inside.matching(lambda p: p.pkttype != p.OUTGOING and b"after" in p.frame)

    def test_leaves_other_ports_alone(self, host, a, b, family):
        """And the other family, if it was for an address."""
        other = other_family(family)
        for name, port in ((a.name, family.at(family.host, 5000)), (a.name, "5001"), (b.name, "5002"),
                           (a.name, other.at(other.host, 5000))):
            host.nsbpf("expose", name, port)
        with a.tcp_echo(5000, "::"), a.tcp_echo(5001, family.any), b.tcp_echo(5002, family.any), \
                host.outside.tcp_echo(80, family.any):
            sessions = [host.outside.tcp_session(address, port) for address, port in
                        ((family.host, 5001), (family.host, 5002), (other.host, 5000))]
            sessions.append(a.tcp_session(family.outside, 80))
            for session in sessions:
                assert session.ask()["data"] == "hello"
            host.nsbpf("unexpose", a.name, family.at(family.host, 5000))
            for session in sessions:
                assert session.ask("still")["data"] == "still"

    @pytest.mark.parametrize("client", ["outside", "neighbour"])
    def test_pitfall_moby_8795_cni_123_the_new_endpoint_at_once(self, host, a, b, client, family):
        """The client keeps its port, as DNS and QUIC clients do."""
        c = host.add("c")
        netns = {"outside": host.outside, "neighbour": c}[client]
        host.nsbpf("expose", a.name, "5000/udp")
        with a.udp_echo(5000, family.any), b.udp_echo(5000, family.any):
            session = netns.udp_session(family.host, 5000, source_port=3333)
            assert session.ask()["local"] == a.address_of(family)
            host.nsbpf("unexpose", a.name, "5000/udp")
            host.nsbpf("expose", b.name, "5000/udp")
            seen = session.ask()
            assert (seen["local"], seen["from"], seen["from_port"]) == (b.address_of(family), family.host, 5000)
            if client == "outside":
                assert (seen["peer"], seen["port"]) == (family.outside, 3333)

    def test_pitfall_moby_8795_a_socket_of_the_hosts(self, host, a, b, family):
        host.nsbpf("expose", a.name, "5000/udp")
        with a.udp_echo(5000, family.any), b.udp_echo(5000, family.any):
            session = host.udp_session(family.loopback, 5000, source_port=3333)
            assert session.ask()["local"] == a.address_of(family)
            host.nsbpf("unexpose", a.name, "5000/udp")
            host.nsbpf("expose", b.name, "5000/udp")
            assert session.ask()["local"] == b.address_of(family)

    def test_the_port_is_the_hosts_again(self, host, a, family):
        host.nsbpf("expose", a.name, "5000")
        with a.tcp_echo(5000, family.any):
            question(host.outside, "tcp", family.host, 5000)
        host.nsbpf("unexpose", a.name, "5000")
        with host.tcp_echo(5000, family.any):
            for client, address in ((host.outside, family.host), (a, family.host), (host, family.loopback)):
                assert question(client, "tcp", address, 5000)["local"] == address
