# SPDX-License-Identifier: GPL-2.0-only
"""A default route or an address of the uplink's that is not there, or not yet, or comes and goes under traffic.

IPv6 gets its own late: the route by the first advertisement, the address when duplicates are ruled out, or by DHCPv6.
"""
import pytest
from families import FAMILIES, Family6
from nat import udp_peer
from topology import wait_for
from wire import check_every_path, echo, question

pytestmark = pytest.mark.attach

SOON = 3.5  # a second, one more of a TCP that asks, and a loaded machine


def default_route(host, family, verb):
    host.ip(f"-{family.number}", "route", verb, "default", "via", family.via, "dev", "up0")


def address(host, family, verb):
    if verb == "del":
        host.ip("address", "del", f"{family.host}/{family.link_length}", "dev", "up0")
    else:
        host.add_address(f"{family.host}/{family.link_length}", "up0")


def other(family):
    return FAMILIES[10 - family.number]


def outside(netns, family, server):
    """IPv6's TCP takes an ICMP error about its second SYN only, a second later: of the first it is still busy."""
    return netns.tcp(family.far, server.port, timeout=1.7)


def none_of(wan, *netns):
    """No packet with an address of these: neither an endpoint's own nor a gateway's."""
    inside = [address for one in netns for family in FAMILIES.values()
              for address in (one.address_of(family), one.gateway_of(family))]
    return not [p for p in wan.packets for family in FAMILIES.values() if family.IP in p
                and p[family.IP].src in inside]


@pytest.mark.parametrize("when", ["never", "before", "after"])
def test_no_default_route(host, when, family):
    """All else works, and the other family too; an endpoint hears at once that there is none, until it comes."""
    default_route(host, family, "del")
    a, b = host.add("a"), host.add("b")
    wan = host.outside.capture("wan0")
    with echo(host.outside, "tcp", address="::") as server, echo(host.outside, "udp", address=family.any) as near:
        assert outside(a, family, server)["error"] == "ENETUNREACH"
        for client, to in ((a, b), (host, b)):
            assert client.ping(to.address_of(family)).returncode == 0
        assert a.ping(family.host).returncode == 0
        assert question(a, "udp", family.outside, near.port)["peer"] == family.host  # on the link
        assert outside(a, other(family), server).get("peer") is not None
        if when != "never":
            session = udp_peer(a, address=family.any)
            if when == "after":  # what was asked for in vain is found as soon as it is there
                session.send(family.far, near.port, "early")
            default_route(host, family, "add")
            wait_for(lambda: "peer" in outside(a, family, server), SOON)
            assert session.ask(family.far, near.port, "late")[0] == family.host
    assert none_of(wan, a, b)


def test_it_comes_and_goes_under_traffic(host, a, family):
    """A session outlives it: nothing but the route is asked."""
    wan = host.outside.capture("wan0")
    with echo(host.outside, "udp", address=family.any) as server, echo(host.outside, "tcp", address=family.any) as tcp:
        session, peer = a.tcp_session(family.far, tcp.port, timeout=10.0), udp_peer(a, address=family.any)
        before = session.ask(), peer.ask(family.far, server.port, "before")
        for turn in range(2):
            default_route(host, family, "del")
            wait_for(lambda: outside(a, family, tcp).get("error") == "ENETUNREACH", SOON)
            default_route(host, family, "add")
            wait_for(lambda: "peer" in outside(a, family, tcp), SOON)
            assert peer.ask(family.far, server.port, f"again{turn}") == before[1]
        after = session.ask()
        assert (after["peer"], after["port"]) == (before[0]["peer"], before[0]["port"])
    assert none_of(wan, a)


def test_an_uplink_without_an_address(host, family):
    """Nothing leaves, least of all by an address of the inside; and all does as soon as there is one."""
    address(host, family, "del")
    if family is not Family6:  # whose route went with the address
        host.ip("route", "add", "default", "dev", "up0")
    a = host.add("a")
    wan = host.outside.capture("wan0")
    with echo(host.outside, "udp", address=family.any) as server:
        peer = udp_peer(a, address=family.any)
        before = host.json()["drops"]["no-address"]
        for turn in range(3):
            peer.send(family.far, server.port, f"vain{turn}")
        wait_for(lambda: host.json()["drops"]["no-address"] >= before + 3)
        assert a.ping(family.far, timeout=1).returncode
        address(host, family, "add")
        if family is not Family6:
            host.ip("route", "replace", "default", "via", family.via)
        number = iter(range(100))

        def goes_on():
            peer.send(family.far, server.port, f"after{next(number)}")
            return server.seen
        wait_for(goes_on, SOON)
        assert {line["peer"] for line in server.seen} == {family.host}
    assert none_of(wan, a)


@pytest.mark.families(6)
def test_a_tentative_address_is_none_yet(host):
    """For the second or two in which duplicates are looked for, the route being there already."""
    host.ip("address", "del", f"{Family6.host}/64", "dev", "up0")
    host.sysctl("net.ipv6.conf.up0.dad_transmits", "3")
    a = host.add("a")
    wan = host.outside.capture("wan0")
    host.ip("address", "add", f"{Family6.host}/64", "dev", "up0")
    with host.outside.tcp_echo(address="::") as server:
        wait_for(lambda: a.tcp(Family6.far, server.port, timeout=0.3).get("peer") == Family6.host, SOON + 5)
    assert none_of(wan, a)


def test_the_uplink_goes_down_and_up(host, a, family):
    """Which takes IPv6 addresses and all routes away; whoever manages the network brings them back."""
    b = host.add("b")
    check_every_path(host, a, b, family)
    wan = host.outside.capture("wan0")
    with echo(host.outside, "udp", address=family.any) as server:
        peer = udp_peer(a, address=family.any)
        before = peer.ask(family.far, server.port, "before")
        host.ip("link", "set", "up0", "down")
        peer.send(family.far, server.port, "lost")
        assert a.ping(b.address_of(family)).returncode == 0
        host.ip("link", "set", "up0", "up")
        host.ip("address", "add", "fe80::1/64", "dev", "up0", "nodad")
        if family is Family6:
            address(host, family, "add")
        default_route(host, family, "replace")
        number = iter(range(100))

        def goes_on():
            peer.send(family.far, server.port, f"after{next(number)}")
            return [line for line in server.seen if line["data"].startswith("after")]
        wait_for(goes_on, SOON)
        assert peer.ask(family.far, server.port, "last") == before
    check_every_path(host, a, b, family)
    assert none_of(wan, a, b)
