# SPDX-License-Identifier: GPL-2.0-only
"""The host's own traffic does not notice nsbpf: hundreds of its connections beside hundreds of masqueraded ones."""
import pytest
from wire import NAT_PORTS, bulk, mirror, swarm

pytestmark = pytest.mark.attach

COUNT = 300


def turns(swarms, count):
    """Everybody talks at once, `count` times; what any of them did not get, or got and was another's."""
    wrong = [agent.first["wrong"] for agent in swarms]
    for _ in range(count):
        for agent in swarms:
            agent.start_turn()
        wrong += [agent.end_turn() for agent in swarms]
    return [line for lines in wrong for line in lines]


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_hundreds_of_both_to_one_destination(host, a, b, proto, family):
    with mirror(host.outside, proto, address=family.any) as server:
        swarms = [swarm(netns, name, proto, family.far, server.port, COUNT)
                  for name, netns in (("host", host), ("a", a), ("host too", host), ("b", b))]
        assert not turns(swarms, 3)
    assert host.json()["connections"]["count"] >= 2 * COUNT


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_pitfall_nat_port_of_a_host_socket(host, a, b, proto, family):
    """A program of the host's that binds its source port, right where masquerade takes its own from."""
    first = 20000
    assert first in NAT_PORTS
    with mirror(host.outside, proto, address=family.any) as server:
        own = swarm(host, "host", proto, family.far, server.port, COUNT, first_port=first)
        others = [swarm(netns, name, proto, family.far, server.port, COUNT, first_port=first)
                  for name, netns in (("a", a), ("b", b))]
        assert not turns([own, *others], 3)


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_all_endpoints_use_the_same_source_ports(host, a, b, proto, family):
    c = host.add("c")
    with mirror(host.outside, proto, address=family.any) as server:
        swarms = [swarm(netns, name, proto, family.far, server.port, COUNT, first_port=30000)
                  for name, netns in (("a", a), ("b", b), ("c", c))]
        assert not turns(swarms, 3)


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_the_host_serves_while_endpoints_masquerade(host, a, proto, family):
    """Clients from outside on the host's servers, clients of the endpoint's on the outside's, same ports everywhere."""
    with mirror(host, proto, 25000, family.any) as own, mirror(host.outside, proto, 25000, family.any) as far:
        swarms = [swarm(host.outside, "outside", proto, family.host, own.port, COUNT, first_port=26000),
                  swarm(a, "a", proto, family.outside, far.port, COUNT, first_port=24900),
                  swarm(host, "host", proto, family.outside, far.port, COUNT)]
        assert not turns(swarms, 3)


def test_pings_of_the_host_and_of_endpoints(host, a, b, family):
    """At once, to one destination: echo identifiers are all that tells their answers apart."""
    pings = [netns.popen("ping", "-n", "-q", "-c", "20", "-i", "0.05", "-W", "2", family.far, stdout=-1, text=True)
             for netns in (host, a, b) for _ in range(10)]
    for ping in pings:
        out, _ = ping.communicate(timeout=30)
        assert " 20 received, 0% packet loss" in out, out


def test_bulk_of_the_host_is_not_slowed_or_changed(host, a, family):
    bulk(host, host.outside, family.far)
    bulk(host.outside, host, family.host)


def test_host_ports_outside_the_nat_range(host, a, family):
    """Whatever the operator makes of ip_local_port_range before the first endpoint: masquerade keeps out of it."""
    host.nsbpf("down")
    host.sysctl("net.ipv4.ip_local_port_range", "2000 60000")
    endpoint = host.add("z")
    with host.outside.tcp_echo(address=family.any) as server:
        for source_port in (3000, 1500, 61234):
            seen = endpoint.tcp(family.far, server.port, source_port=source_port)
            assert seen["port"] in (*range(1024, 2000), *range(60001, 65536))
            assert seen["port"] == source_port or source_port == 3000
