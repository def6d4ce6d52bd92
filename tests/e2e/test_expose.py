# SPDX-License-Identifier: GPL-2.0-only
"""Exposed ports: who reaches them by which way, whom the endpoint sees, and what ends when they are withdrawn."""
import pytest
from exposing import PROTOS, add_addresses, answers, echoes, other_family, refused
from scapy.layers.inet import TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from topology import HOST_ADDRESS, HOST_ADDRESS6
from wire import echo, question


@pytest.fixture
def a(host):
    return host.add("a")


@pytest.fixture
def b(host, a):
    return host.add("b")


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


class TestHeldPort:
    """A host socket has it: refused, and the error names the process."""

    @pytest.mark.families("both")
    @pytest.mark.parametrize("proto", PROTOS)
    @pytest.mark.parametrize("held", ["0.0.0.0", HOST_ADDRESS, "127.0.0.1", "::", HOST_ADDRESS6, "::1"])
    def test_pitfall_kubernetes_31307_refused_with_its_name(self, host, a, proto, held):
        at = f"[{held}]" if ":" in held else held
        with echo(host, proto, 8080, address=held) as holder:
            for ports in ("8080", "8000-8100", *([f"{at}:8080"] if held not in ("0.0.0.0", "::") else [])):
                done = host.nsbpf("expose", a.name, f"{ports}/{proto}", check=False)
                assert done.returncode == 4, (done.stdout, done.stderr)
                assert f"held by pid {holder.process.pid} (python3) on {at}:8080\n" in done.stderr
                assert done.stderr.startswith("nsbpf: ") and done.stderr.count("\n") == 1
                assert host.json("ports") == []
            if held in ("0.0.0.0", "::", HOST_ADDRESS, HOST_ADDRESS6):
                assert question(host.outside, proto, HOST_ADDRESS6 if ":" in held else HOST_ADDRESS, 8080)
        host.nsbpf("expose", a.name, f"8000-8100/{proto}")

    @pytest.mark.parametrize("proto", PROTOS)
    def test_another_address_or_protocol_is_free(self, host, a, proto, family):
        add_addresses(host, family)
        other = "udp" if proto == "tcp" else "tcp"
        with echo(host, proto, 8080, address=family.second):
            host.nsbpf("expose", a.name, family.at(family.host, f"8080/{proto}"))
            host.nsbpf("expose", a.name, f"8080/{other}")
            with echo(a, proto, 8080, family.any):
                assert question(host.outside, proto, family.host, 8080)["local_port"] == 8080
                assert question(host.outside, proto, family.second, 8080)["local"] == family.second

    def test_pitfall_moby_32545_a_connection_is_no_listener(self, host, a, family):
        """Its port is not taken for others: a host that is client from port 8080 can expose it."""
        with host.outside.tcp_echo(80, family.any):
            session = host.tcp_session(family.outside, 80, source_port=8080)
            assert session.ask()["port"] == 8080
            host.nsbpf("expose", a.name, "8080")
            assert session.ask("still")["data"] == "still"
            with a.tcp_echo(8080, family.any):
                assert question(host.outside, "tcp", family.host, 8080)["local_port"] == 8080
            assert session.ask("even now")["data"] == "even now"

    @pytest.mark.families("both")
    @pytest.mark.parametrize("proto", PROTOS)
    def test_other_namespaces_do_not_matter(self, host, a, proto):
        with echo(host.outside, proto, 8080, "::"), echo(a, proto, 8080, "::"):
            host.nsbpf("expose", a.name, f"8080/{proto}")

    def test_another_endpoint_has_it(self, host, a, b):
        host.nsbpf("expose", a.name, "5000-5010")
        for ports in ("5000", "5010", "5005-5020", "4000-6000"):
            done = host.nsbpf("expose", b.name, ports, check=False)
            assert done.returncode == 4 and a.name in done.stderr, (ports, done.stderr)
        for ports in ("4999", "5011", "5005/udp"):
            host.nsbpf("expose", b.name, ports)

    def test_one_address_takes_over_from_any(self, host, a, b, family):
        """What came by that address goes to the new endpoint at once, what came by another one stays."""
        other = other_family(family)
        host.nsbpf("expose", a.name, "5000/udp")
        with a.udp_echo(5000, "::"), b.udp_echo(5000, family.any):
            sessions = {each: host.outside.udp_session(each.host, 5000) for each in (family, other)}

            def reaches(each, endpoint):
                return sessions[each].ask()["local"].removeprefix("::ffff:") == endpoint.address_of(each)

            assert reaches(family, a) and reaches(other, a)
            host.nsbpf("expose", b.name, family.at(family.host, "5000/udp"))
            assert reaches(family, b) and reaches(other, a)
            host.nsbpf("unexpose", b.name, family.at(family.host, "5000/udp"))
            assert reaches(family, a) and reaches(other, a)

    def test_one_address_goes_before_any(self, host, a, b, family):
        """As with sockets of the host's: the one bound to the address gets it."""
        at = family.at(family.host, 5005)
        host.nsbpf("expose", a.name, "5000-5010")
        host.nsbpf("expose", b.name, at)
        done = host.nsbpf("expose", a.name, at, check=False)
        assert done.returncode == 4 and b.name in done.stderr
        with a.tcp_echo(5004, family.any), a.tcp_echo(5005, family.any), b.tcp_echo(5005, family.any):
            assert question(host.outside, "tcp", family.host, 5004)["local"] == a.address_of(family)
            assert question(host.outside, "tcp", family.host, 5005)["local"] == b.address_of(family)
            assert question(host, "tcp", family.loopback, 5005)["local"] == a.address_of(family)
            host.nsbpf("unexpose", b.name, at)
            assert question(host.outside, "tcp", family.host, 5005)["local"] == a.address_of(family)


@pytest.mark.families(6)
class TestWithoutIPv6:
    """An endpoint that has IPv4 only: IPv6 packets to its exposed port are the host's."""

    @pytest.fixture
    def a(self, host):
        host.sysctl("net.ipv6.conf.default.disable_ipv6", "1")
        a = host.add("a")
        assert a.address6 is None
        return a

    @pytest.mark.parametrize("proto", PROTOS)
    def test_the_port_is_the_hosts(self, host, a, proto):
        """Before, while and after it is exposed, with a socket that therefore is not in its way."""
        with echo(host, proto, 5000, HOST_ADDRESS6), echo(a, proto, 5000):
            host.nsbpf("expose", a.name, f"5000/{proto}")
            assert question(host.outside, proto, HOST_ADDRESS, 5000)["local"] == a.address
            for client in (host.outside, host):
                assert question(client, proto, HOST_ADDRESS6, 5000)["local"] == HOST_ADDRESS6

    def test_nobody_listens(self, host, a):
        host.nsbpf("expose", a.name, "5000")
        for client, address in ((host.outside, HOST_ADDRESS6), (host, HOST_ADDRESS6), (host, "::1")):
            assert client.tcp(address, 5000)["error"] == "ECONNREFUSED"

    def test_an_ipv6_address_is_refused(self, host, a):
        for address in (HOST_ADDRESS6, "::1"):
            done = host.nsbpf("expose", a.name, f"[{address}]:5000", check=False)
            assert (done.returncode, done.stderr) == (
                2, f"nsbpf: cannot expose {a.name} on {address}: it has no IPv6\n")


@pytest.mark.families(6)
class TestWhichAddress:
    """Only an address of the host, and none that each link has its own of."""

    def test_link_local(self, host, a):
        done = host.nsbpf("expose", a.name, "[fe80::1]:5000", check=False)
        assert (done.returncode, done.stderr) == (
            1, "nsbpf: ports [fe80::1]:5000: a link-local address cannot be exposed\n")

    @pytest.mark.parametrize("address", ["2001:db8:1::99", "ff02::1", "2001:db8:1::"])
    def test_no_address_of_the_host(self, host, a, address):
        """A multicast address, and the anycast address that every subnet has, are none."""
        done = host.nsbpf("expose", a.name, f"[{address}]:5000", check=False)
        assert (done.returncode, done.stderr) == (3, f"nsbpf: {address} is no address of this host\n")

    def test_sources_of_the_other_family(self, host, a):
        for ports, sources in (("[::1]:5000", "198.51.100.0/24"), (f"{HOST_ADDRESS}:5000", "2001:db8::/32")):
            done = host.nsbpf("expose", a.name, ports, "--from", sources, check=False)
            assert done.returncode == 1 and done.stderr.startswith(f"nsbpf: --from {sources}: ")

    def test_a_socket_on_a_link_local_address_is_not_in_the_way(self, host, a):
        """A DHCPv6 client's: nobody's but the host's are packets to such an address."""
        program = """
import socket, sys
sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
sock.bind(("fe80::1", 5000, 0, socket.if_nametoindex("up0")))
print("bound", flush=True)
data, peer = sock.recvfrom(99)
sock.sendto(data, peer)
"""
        listener = host.popen("/usr/bin/python3", "-c", program, stdout=-1, text=True)
        assert listener.stdout.readline() == "bound\n"
        host.nsbpf("expose", a.name, "5000/udp")
        with a.udp_echo(5000, "::"):
            assert question(host.outside, "udp", HOST_ADDRESS6, 5000)["local"] == a.address6
            host.outside.run("/usr/bin/python3", "-c", """
import socket
sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
sock.settimeout(3)
sock.sendto(b"x", ("fe80::1", 5000, 0, socket.if_nametoindex("wan0")))
assert sock.recvfrom(99)[0] == b"x"
""")
