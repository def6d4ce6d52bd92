# SPDX-License-Identifier: GPL-2.0-only
"""Exposed ports: who reaches them by which way, whom the endpoint sees, and what ends when they are withdrawn."""
import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from topology import HOST_ADDRESS, OUTSIDE_ADDRESS, OUTSIDE_FAR
from wire import SECOND_ADDRESS, echo, question

pytestmark = pytest.mark.attach

PROTOS = ["tcp", "udp"]


@pytest.fixture
def a(host):
    return host.add("a")


@pytest.fixture
def b(host, a):
    return host.add("b")


def refused(netns, proto, address, port, **more):
    """No answer, at once for TCP: the host's own stack says that nobody listens."""
    return getattr(netns, proto)(address, port, timeout=0.7, **more).get("error")


@pytest.mark.parametrize("proto", PROTOS)
class TestWhoGetsThere:
    def test_pitfall_moby_7540_15086_from_outside(self, host, a, proto):
        host.nsbpf("expose", a.name, f"5000/{proto}")
        with echo(a, proto, 5000):
            for source in (OUTSIDE_ADDRESS, OUTSIDE_FAR):
                seen = question(host.outside, proto, HOST_ADDRESS, 5000, source=source, source_port=1234)
                assert (seen["peer"], seen["port"]) == (source, 1234)
                assert (seen["local_port"], seen["data"]) == (5000, "hello")

    def test_from_outside_by_every_address_of_the_host(self, host, a, proto):
        host.ip("address", "add", SECOND_ADDRESS + "/32", "dev", "up0")
        host.ip("address", "add", "172.21.0.1/32", "dev", "lo")
        host.outside.ip("route", "add", "172.21.0.1", "via", HOST_ADDRESS)
        host.nsbpf("expose", a.name, f"5000/{proto}")
        with echo(a, proto, 5000):
            for address in (HOST_ADDRESS, SECOND_ADDRESS, "172.21.0.1"):
                assert question(host.outside, proto, address, 5000)["peer"] == OUTSIDE_ADDRESS

    def test_pitfall_cni_68_nomad_13352_hairpin(self, host, a, b, proto):
        host.nsbpf("network", "add", "other", "--subnet", "10.90.0.0/24")
        c = host.add("c", "--network", "other")
        host.nsbpf("expose", a.name, f"5000:80/{proto}")
        with echo(a, proto, 80):
            for client in (a, b, c):
                seen = question(client, proto, HOST_ADDRESS, 5000)
                assert (seen["peer"], seen["local"], seen["local_port"]) == (HOST_ADDRESS, a.address, 80)
                # by whichever address of the host: the peer sees what the outside would (RFC 4787 REQ-9)
                assert question(client, proto, client.info["gateway"], 5000)["peer"] == HOST_ADDRESS

    def test_one_host_address(self, host, a, b, proto):
        host.ip("address", "add", SECOND_ADDRESS + "/32", "dev", "up0")
        host.nsbpf("expose", a.name, f"{SECOND_ADDRESS}:5000/{proto}")
        with echo(a, proto, 5000):
            for client in (host.outside, b, a, host):
                assert question(client, proto, SECOND_ADDRESS, 5000)["local"] == a.address
                assert refused(client, proto, HOST_ADDRESS, 5000)
            assert refused(host, proto, "127.0.0.1", 5000)

    def test_one_port_on_two_addresses(self, host, a, b, proto):
        host.ip("address", "add", SECOND_ADDRESS + "/32", "dev", "up0")
        host.nsbpf("expose", a.name, f"{SECOND_ADDRESS}:5000/{proto}")
        host.nsbpf("expose", b.name, f"{HOST_ADDRESS}:5000/{proto}")
        with echo(a, proto, 5000), echo(b, proto, 5000):
            for client in (host.outside, host, a):
                assert question(client, proto, SECOND_ADDRESS, 5000)["local"] == a.address
                assert question(client, proto, HOST_ADDRESS, 5000)["local"] == b.address

    def test_pitfall_moby_41872_45610_kubernetes_90259_loopback_only(self, host, a, b, proto):
        host.nsbpf("expose", a.name, f"127.0.0.1:5000/{proto}")
        inside = a.capture("eth0")
        with echo(a, proto, 5000):
            assert question(host, proto, "127.0.0.1", 5000)["local"] == a.address
            for client in (host.outside, b, a, host):
                assert refused(client, proto, HOST_ADDRESS, 5000)
            # A neighbour on the uplink may write 127.0.0.1 into a packet, even if the host routes it (route_localnet).
            host.sysctl("net.ipv4.conf.all.route_localnet", "1")
            before = len(inside.packets)
            l4 = TCP(sport=9, dport=5000, flags="S") if proto == "tcp" else UDP(sport=9, dport=5000) / Raw(b"x")
            host.outside.send("wan0", Ether(src=host.outside.link("wan0")["address"], dst=host.link("up0")["address"]) /
                              IP(src=OUTSIDE_ADDRESS, dst="127.0.0.1") / l4)
            b.send("eth0", Ether(src=b.info["mac"], dst=host.link(b.device)["address"]) /
                   IP(src=b.address, dst="127.0.0.1") / l4)
            assert question(host, proto, "127.0.0.1", 5000)["data"] == "hello"
            assert not [p for p in inside.packets[before:] if IP in p and p[IP].src in (OUTSIDE_ADDRESS, b.address)]

    def test_pitfall_moby_22054_4737_only_for_some_sources(self, host, a, b, proto):
        host.nsbpf("expose", a.name, f"5000/{proto}", "--from", OUTSIDE_FAR + "/32", "--from", b.address + "/32")
        before = host.json()["drops"]["source"]
        with echo(a, proto, 5000):
            assert question(host.outside, proto, HOST_ADDRESS, 5000, source=OUTSIDE_FAR)["peer"] == OUTSIDE_FAR
            assert question(b, proto, HOST_ADDRESS, 5000)
            assert refused(host.outside, proto, HOST_ADDRESS, 5000, source=OUTSIDE_ADDRESS)
            assert refused(a, proto, HOST_ADDRESS, 5000)
        assert host.json()["drops"]["source"] >= before + 2

    def test_range_shifted(self, host, a, b, proto):
        host.nsbpf("expose", a.name, f"6000-6999:7000/{proto}")
        entry, = host.json("ports")
        assert (entry["first"], entry["last"], entry["target"]) == (6000, 6999, 7000)
        for asked in (6000, 6500, 6999):
            with echo(a, proto, asked + 1000):
                for client in (host.outside, b, a):
                    assert question(client, proto, HOST_ADDRESS, asked)["local_port"] == asked + 1000
                assert question(host, proto, "127.0.0.1", asked)["local_port"] == asked + 1000
        for asked in (5999, 7000):
            with echo(a, proto, 5999 if asked == 5999 else 8000):
                assert refused(host.outside, proto, HOST_ADDRESS, asked)

    def test_pitfall_moby_11185_34328_14288_the_whole_port_range(self, host, a, proto):
        host.nsbpf("expose", a.name, f"2000-65535/{proto}")
        assert len(host.json("ports")) == 1
        for port in (2000, 40000, 65535):
            with echo(a, proto, port):
                assert question(host.outside, proto, HOST_ADDRESS, port)["local_port"] == port


def test_both_protocols_at_once(host, a):
    host.nsbpf("expose", a.name, "5000/both")
    assert sorted(entry["protocol"] for entry in host.json("ports")) == ["tcp", "udp"]
    with a.tcp_echo(5000), a.udp_echo(5000):
        for proto in PROTOS:
            assert question(host.outside, proto, HOST_ADDRESS, 5000)["peer"] == OUTSIDE_ADDRESS


def test_nobody_listens(host, a, b):
    """The endpoint's refusal comes back as the host's."""
    host.nsbpf("expose", a.name, "5000")
    for client, address in ((host.outside, HOST_ADDRESS), (b, HOST_ADDRESS), (host, HOST_ADDRESS), (host, "127.0.0.1")):
        assert client.tcp(address, 5000)["error"] == "ECONNREFUSED"


def test_pitfall_cni_123_exposed_while_packets_flow(host, a):
    """A client that asks all the time gets its answer as soon as the port is exposed."""
    with a.udp_echo(5000):
        session = host.outside.udp_session(HOST_ADDRESS, 5000, source_port=1234, timeout=0.3)
        assert session.ask().get("error")
        host.nsbpf("expose", a.name, "5000/udp")
        assert question(host.outside, "udp", HOST_ADDRESS, 5000, source_port=1234)["port"] == 1234


class TestUnexpose:
    @pytest.mark.parametrize("client", ["outside", "neighbour", "itself"])
    def test_ends_live_tcp(self, host, a, b, client):
        host.nsbpf("expose", a.name, "5000")
        netns = {"outside": host.outside, "neighbour": b, "itself": a}[client]
        inside = a.capture("eth0")
        with a.tcp_echo(5000) as server:
            session = netns.tcp_session(HOST_ADDRESS, 5000, timeout=1.0)
            assert session.ask()["data"] == "hello"
            host.nsbpf("unexpose", a.name, "5000")
            seen = len(server.seen)
            assert session.ask("after").get("error")
            assert refused(netns, "tcp", HOST_ADDRESS, 5000)
            assert not [line for line in server.seen[seen:] if line.get("data") == "after"]
        assert not inside.matching(lambda p: p.pkttype != p.OUTGOING and b"after" in p.frame)

    def test_leaves_other_ports_alone(self, host, a, b):
        for name, port in ((a.name, "5000"), (a.name, "5001"), (b.name, "5002")):
            host.nsbpf("expose", name, port)
        with a.tcp_echo(5000), a.tcp_echo(5001), b.tcp_echo(5002), host.outside.tcp_echo(80):
            sessions = [host.outside.tcp_session(HOST_ADDRESS, port) for port in (5001, 5002)]
            sessions.append(a.tcp_session(OUTSIDE_ADDRESS, 80))
            for session in sessions:
                assert session.ask()["data"] == "hello"
            host.nsbpf("unexpose", a.name, "5000")
            for session in sessions:
                assert session.ask("still")["data"] == "still"

    @pytest.mark.parametrize("client", ["outside", "neighbour"])
    def test_pitfall_moby_8795_cni_123_the_new_endpoint_at_once(self, host, a, b, client):
        """The client keeps its port, as DNS and QUIC clients do."""
        c = host.add("c")
        netns = {"outside": host.outside, "neighbour": c}[client]
        host.nsbpf("expose", a.name, "5000/udp")
        with echo(a, "udp", 5000), echo(b, "udp", 5000):
            session = netns.udp_session(HOST_ADDRESS, 5000, source_port=3333)
            assert session.ask()["local"] == a.address
            host.nsbpf("unexpose", a.name, "5000/udp")
            host.nsbpf("expose", b.name, "5000/udp")
            seen = session.ask()
            assert (seen["local"], seen["from"], seen["from_port"]) == (b.address, HOST_ADDRESS, 5000)
            if client == "outside":
                assert (seen["peer"], seen["port"]) == (OUTSIDE_ADDRESS, 3333)

    def test_pitfall_moby_8795_a_socket_of_the_hosts(self, host, a, b):
        host.nsbpf("expose", a.name, "5000/udp")
        with echo(a, "udp", 5000), echo(b, "udp", 5000):
            session = host.udp_session("127.0.0.1", 5000, source_port=3333)
            assert session.ask()["local"] == a.address
            host.nsbpf("unexpose", a.name, "5000/udp")
            host.nsbpf("expose", b.name, "5000/udp")
            assert session.ask()["local"] == b.address

    def test_the_port_is_the_hosts_again(self, host, a):
        host.nsbpf("expose", a.name, "5000")
        with a.tcp_echo(5000):
            question(host.outside, "tcp", HOST_ADDRESS, 5000)
        host.nsbpf("unexpose", a.name, "5000")
        with host.tcp_echo(5000):
            for client, address in ((host.outside, HOST_ADDRESS), (a, HOST_ADDRESS), (host, "127.0.0.1")):
                assert question(client, "tcp", address, 5000)["local"] == address


class TestHeldPort:
    """A host socket has it: refused, and the error names the process."""

    @pytest.mark.parametrize("proto", PROTOS)
    @pytest.mark.parametrize("held", ["0.0.0.0", "::", HOST_ADDRESS, "127.0.0.1"])
    @pytest.mark.parametrize("ports", ["8080", "8000-8100"])
    def test_pitfall_kubernetes_31307_refused_with_its_name(self, host, a, proto, held, ports):
        with echo(host, proto, 8080, address=held) as holder:
            done = host.nsbpf("expose", a.name, f"{ports}/{proto}", check=False)
            assert done.returncode == 4, (done.stdout, done.stderr)
            assert f"pid {holder.process.pid} (python3)" in done.stderr
            assert done.stderr.startswith("nsbpf: ") and done.stderr.count("\n") == 1
            assert host.json("ports") == []
            assert question(host.outside, proto, HOST_ADDRESS, 8080) if held in ("0.0.0.0", HOST_ADDRESS) else True
        host.nsbpf("expose", a.name, f"{ports}/{proto}")

    @pytest.mark.parametrize("proto", PROTOS)
    def test_another_address_or_protocol_is_free(self, host, a, proto):
        host.ip("address", "add", SECOND_ADDRESS + "/32", "dev", "up0")
        other = "udp" if proto == "tcp" else "tcp"
        with echo(host, proto, 8080, address=SECOND_ADDRESS):
            host.nsbpf("expose", a.name, f"{HOST_ADDRESS}:8080/{proto}")
            host.nsbpf("expose", a.name, f"8080/{other}")
            with echo(a, proto, 8080):
                assert question(host.outside, proto, HOST_ADDRESS, 8080)["local_port"] == 8080
                assert question(host.outside, proto, SECOND_ADDRESS, 8080)["local"] == SECOND_ADDRESS

    def test_pitfall_moby_32545_a_connection_is_no_listener(self, host, a):
        """Its port is not taken for others: a host that is client from port 8080 can expose it."""
        with host.outside.tcp_echo(80):
            session = host.tcp_session(OUTSIDE_ADDRESS, 80, source_port=8080)
            assert session.ask()["port"] == 8080
            host.nsbpf("expose", a.name, "8080")
            assert session.ask("still")["data"] == "still"
            with a.tcp_echo(8080):
                assert question(host.outside, "tcp", HOST_ADDRESS, 8080)["local_port"] == 8080
            assert session.ask("even now")["data"] == "even now"

    @pytest.mark.parametrize("proto", PROTOS)
    def test_other_namespaces_do_not_matter(self, host, a, proto):
        with echo(host.outside, proto, 8080), echo(a, proto, 8080):
            host.nsbpf("expose", a.name, f"8080/{proto}")

    def test_another_endpoint_has_it(self, host, a, b):
        host.nsbpf("expose", a.name, "5000-5010")
        for ports in ("5000", "5010", "5005-5020", "4000-6000"):
            done = host.nsbpf("expose", b.name, ports, check=False)
            assert done.returncode == 4 and a.name in done.stderr, (ports, done.stderr)
        for ports in ("4999", "5011", "5005/udp"):
            host.nsbpf("expose", b.name, ports)

    def test_one_address_goes_before_any(self, host, a, b):
        """As with sockets of the host's: the one bound to the address gets it."""
        host.nsbpf("expose", a.name, "5000-5010")
        host.nsbpf("expose", b.name, f"{HOST_ADDRESS}:5005")
        done = host.nsbpf("expose", a.name, f"{HOST_ADDRESS}:5005", check=False)
        assert done.returncode == 4 and b.name in done.stderr
        with a.tcp_echo(5004), a.tcp_echo(5005), b.tcp_echo(5005):
            assert question(host.outside, "tcp", HOST_ADDRESS, 5004)["local"] == a.address
            assert question(host.outside, "tcp", HOST_ADDRESS, 5005)["local"] == b.address
            assert question(host, "tcp", "127.0.0.1", 5005)["local"] == a.address
            host.nsbpf("unexpose", b.name, f"{HOST_ADDRESS}:5005")
            assert question(host.outside, "tcp", HOST_ADDRESS, 5005)["local"] == a.address
