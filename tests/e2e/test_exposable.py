# SPDX-License-Identifier: GPL-2.0-only
"""What may be exposed: ports that nobody holds, on addresses of the host's, to endpoints that have such an address."""
import pytest
from exposing import PROTOS, add_addresses, other_family
from topology import HOST_ADDRESS, HOST_ADDRESS6
from wire import echo, question


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
