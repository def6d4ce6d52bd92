# SPDX-License-Identifier: GPL-2.0-only
"""Neighbour discovery, as real stacks and as liars speak it: a neighbour, the host and the outside notice nothing.

     a 10.80.0.2, ULA::2 ---- host ---- up0 ---- outside
     b 10.80.0.3, ULA::3 ----
"""
import pytest
from families import Family6
from scapy.layers.inet6 import (ICMPv6MLReport2, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_RA, ICMPv6ND_Redirect, ICMPv6ND_RS,
                                ICMPv6NDOptDstLLAddr, ICMPv6NDOptMTU, ICMPv6NDOptPrefixInfo, ICMPv6NDOptRDNSS,
                                ICMPv6NDOptSrcLLAddr, IPv6, IPv6ExtHdrHopByHop, RouterAlert)
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from topology import OUTSIDE_LINK_LOCAL, wait_for
from wire import GATEWAY_MAC, check_every_path, echo, question

pytestmark = [pytest.mark.attach, pytest.mark.families(6)]

ALL_NODES, ALL_NODES_MAC = "ff02::1", "33:33:00:00:00:01"
NOBODY = "02:00:00:00:00:99"
PREFIX = "2001:db8:bad::"


def addresses(netns):
    """IPv6 addresses, with their flags."""
    return {info["local"]: info for link in netns.ip_json("-6", "address") for info in link.get("addr_info", [])
            if "local" in info}


def link_local(netns):
    return next(address for address in addresses(netns) if address.startswith("fe80::"))


def known(netns):
    """Neighbours, routes and addresses: all that neighbour discovery can change."""
    neighbours = {entry["dst"]: entry.get("lladdr") for entry in netns.ip_json("-6", "neighbour")}
    return neighbours, netns.ip("-6", "route"), sorted(addresses(netns))


def advertisement(source, mac, dst=ALL_NODES):
    """Of a router that would have everything go by it."""
    return IPv6(src=source, dst=dst, hlim=255) / ICMPv6ND_RA(routerlifetime=1800) / ICMPv6NDOptSrcLLAddr(lladdr=mac) / \
        ICMPv6NDOptPrefixInfo(prefix=PREFIX, prefixlen=64) / ICMPv6NDOptMTU(mtu=1280) / ICMPv6NDOptRDNSS(dns=[source])


def lies(host, a, b):
    """By name; all with a's own MAC."""
    own, mine, gateway, theirs = link_local(a), a.address6, a.info["gateway6"], b.address6
    mac = a.info["mac"]
    claim, source = ICMPv6NDOptDstLLAddr(lladdr=mac), ICMPv6NDOptSrcLLAddr(lladdr=mac)
    destinations = (ALL_NODES, theirs, gateway, link_local(b), Family6.host)
    return {
        "solicits as another": [IPv6(src=src, dst=dst, hlim=255) / ICMPv6ND_NS(tgt=target) / source
                                for src in (theirs, gateway, Family6.host, Family6.outside)
                                for dst, target in ((theirs, theirs), (gateway, gateway), (ALL_NODES, theirs))],
        "another's MAC in a solicitation": [IPv6(src=mine, dst=gateway, hlim=255) / ICMPv6ND_NS(tgt=gateway) /
                                            ICMPv6NDOptSrcLLAddr(lladdr=other)
                                            for other in (b.info["mac"], GATEWAY_MAC, NOBODY)],
        "advertises another's address": [IPv6(src=src, dst=dst, hlim=255) / ICMPv6ND_NA(tgt=target, S=s, O=1) / claim
                                         for target in (theirs, gateway, Family6.host) for src in (mine, own, target)
                                         for dst in destinations for s in (0, 1)],
        "is a router": [advertisement(src, mac, dst)
                        for src in (own, mine, gateway, "fe80::1") for dst in destinations],
        "redirects": [IPv6(src=src, dst=dst, hlim=255) / ICMPv6ND_Redirect(tgt=mine, dst=Family6.far) / claim
                      for src in (own, mine, gateway) for dst in destinations],
    }


def test_a_liar(host, a, b):
    """Everything that an attacker on a link does with neighbour discovery."""
    for netns in (b, host):  # as credulous as can be
        for device in ("all", "default", "eth0" if netns is b else b.device):
            netns.sysctl(f"net.ipv6.conf.{device}.accept_ra", "2")
            netns.sysctl(f"net.ipv6.conf.{device}.accept_redirects", "1")
    for netns, address in ((b, b.info["gateway6"]), (b, a.address6), (host, Family6.far)):
        assert netns.ping(address).returncode == 0
    before = known(b), known(host)
    heard, stack, wan = b.capture("eth0"), host.capture(a.device), host.outside.capture("wan0")
    for name, packets in lies(host, a, b).items():
        counted = host.json()["drops"]["spoofed-nd"]
        for mac in (GATEWAY_MAC, ALL_NODES_MAC, b.info["mac"]):
            a.send("eth0", *[Ether(src=a.info["mac"], dst=mac) / packet for packet in packets])
        assert host.json()["drops"]["spoofed-nd"] - counted == 3 * len(packets), name
    assert a.ping(b.address6).returncode == 0 and a.ping(Family6.host).returncode == 0
    assert a.ping(Family6.far).returncode == 0
    heard.expect(Family6.is_request)
    wan.expect(Family6.is_request)
    assert (known(b), known(host)) == before
    kinds = (ICMPv6ND_NS, ICMPv6ND_NA, ICMPv6ND_RA, ICMPv6ND_Redirect)
    for packet in heard.packets + wan.packets:
        assert packet[Ether].src != a.info["mac"]
        assert not [kind for kind in kinds if kind in packet and packet[IPv6].src in (a.address6, link_local(a))]
    # A device's capture sees what comes in before the programs do; what the host's stack said is no answer to it.
    assert not stack.matching(lambda p: p.pkttype == p.OUTGOING and ICMPv6ND_NA in p)
    check_every_path(host, a, b, Family6)


def test_what_came_from_afar_or_is_broken(host, a, b):
    """RFC 4861 7.1: hop limit 255, a right checksum, options that have a length; else nobody is answered."""
    mac, gateway = a.info["mac"], a.info["gateway6"]

    def solicit(hops=255, more=b"", **fields):
        nd = ICMPv6ND_NS(tgt=gateway, **fields) / ICMPv6NDOptSrcLLAddr(lladdr=mac) / Raw(more)
        return Ether(src=mac, dst=GATEWAY_MAC) / IPv6(src=a.address6, dst=gateway, hlim=hops) / nd

    cases = {"malformed": [solicit(64), solicit(254), solicit(code=1), solicit(more=bytes(8)),
                           solicit(more=b"\x0e\x02")],
             "checksum": [solicit(cksum=1)]}
    for reason, frames in cases.items():
        wire, before = a.capture("eth0"), host.json()["drops"][reason]
        a.send("eth0", *frames)
        a.send("eth0", solicit())  # the last one is answered
        wire.expect(lambda p: ICMPv6ND_NA in p)
        assert len(wire.matching(lambda p: ICMPv6ND_NA in p)) == 1
        assert host.json()["drops"][reason] == before + len(frames)


def test_usual_chatter_is_no_drop(host, a):
    """What every stack says when its device comes up: it goes nowhere, and is nobody's fault."""
    own, mac = link_local(a), a.info["mac"]
    assert host.ping(Family6.far).returncode == 0
    wan, stack = host.outside.capture("wan0"), known(host)
    report = IPv6ExtHdrHopByHop(options=[RouterAlert()]) / ICMPv6MLReport2()
    chatter = [IPv6(src=own, dst="ff02::2", hlim=255) / ICMPv6ND_RS() / ICMPv6NDOptSrcLLAddr(lladdr=mac),
               IPv6(src="::", dst="ff02::2", hlim=255) / ICMPv6ND_RS(),
               IPv6(src=own, dst="ff02::16", hlim=1) / report, IPv6(src="::", dst="ff02::16", hlim=1) / report,
               IPv6(src="::", dst="ff02::1:ff50:2", hlim=255) / ICMPv6ND_NS(tgt=own),
               IPv6(src="::", dst="ff02::1:ff00:2", hlim=255) / ICMPv6ND_NS(tgt=a.address6),
               IPv6(src=own, dst=ALL_NODES, hlim=255) / ICMPv6ND_NA(tgt=own) / ICMPv6NDOptDstLLAddr(lladdr=mac),
               IPv6(src=a.address6, dst=ALL_NODES, hlim=255) / ICMPv6ND_NA(tgt=a.address6)]
    before = host.json()["drops"]
    a.send("eth0", *[Ether(src=mac, dst="33:33:00:00:00:02") / packet for packet in chatter])
    assert a.ping(Family6.far).returncode == 0
    assert host.json()["drops"] == before
    wan.expect(Family6.is_request)
    assert not wan.matching(lambda p: IPv6 in p and p[IPv6].src in (own, a.address6))
    assert known(host) == stack


def test_link_local_leads_no_further(host, a, b):
    """Neither to a neighbour nor to the host, nor by masquerade to the outside."""
    inside, wan, stack = b.capture("eth0"), host.outside.capture("wan0"), host.json()["drops"]["link-local"]
    own, theirs = link_local(a), link_local(b)
    for address in (theirs, "fe80::1", OUTSIDE_LINK_LOCAL):
        assert a.ping(f"{address}%eth0", timeout=1).returncode
    packets = [IPv6(src=own, dst=dst) / Family6.request(id=1) for dst in (b.address6, Family6.host, Family6.far)]
    packets += [IPv6(src=a.address6, dst=dst) / Family6.request(id=1)
                for dst in (theirs, "fe80::1", OUTSIDE_LINK_LOCAL)]
    a.send("eth0", *[Ether(src=a.info["mac"], dst=GATEWAY_MAC) / packet for packet in packets])
    assert a.ping(b.address6).returncode == 0 and a.ping(Family6.far).returncode == 0
    inside.expect(Family6.is_request)
    wan.expect(Family6.is_request)
    assert host.json()["drops"]["link-local"] - stack >= len(packets)
    assert {Family6.ends(p) for p in inside.matching(Family6.is_request)} == {(a.address6, b.address6)}
    assert {Family6.ends(p) for p in wan.matching(Family6.is_request)} == {(Family6.host, Family6.far)}


def test_duplicate_address_detection(host, a, b):
    """A namespace that takes an address that is another's is told so; one that nobody has it may have, for itself."""
    free = b.address6.rsplit(":", 1)[0] + ":77"
    for address in (b.address6, a.info["gateway6"], free):
        a.ip("address", "add", f"{address}/64", "dev", "eth0")
    for address in (b.address6, a.info["gateway6"]):
        wait_for(lambda: addresses(a)[address].get("dadfailed"), 5)
        a.ip("address", "del", f"{address}/64", "dev", "eth0")
    wait_for(lambda: not addresses(a)[free].get("tentative"), 5)
    before = host.json()["drops"]["spoofed-ip"]
    assert a.run("ping", "-n", "-c1", "-W2", "-I", a.address6, Family6.far).returncode == 0
    assert a.run("ping", "-n", "-c1", "-W1", "-I", free, Family6.far, check=False).returncode
    assert host.json()["drops"]["spoofed-ip"] > before
    a.ip("address", "del", f"{free}/64", "dev", "eth0")
    check_every_path(host, a, b, Family6)


def test_the_uplinks_discovery_is_the_hosts(host, a):
    """Solicitations, advertisements and a router's, from outside: as if there were no nsbpf; and nothing gets in."""
    inside, stack = a.capture("eth0"), known(a)
    host.sysctl("net.ipv6.conf.up0.accept_ra", "1")
    mac = host.outside.link("wan0")["address"]
    router = "fe80::77"
    host.outside.add_address(f"{router}/64", "wan0")
    before = host.json()["drops"]
    lan = Ether(src=mac, dst=ALL_NODES_MAC)
    host.outside.send("wan0", lan / advertisement(router, mac),
                      lan / IPv6(src=a.address6, dst=ALL_NODES, hlim=255) / ICMPv6ND_NA(tgt=a.address6, O=1) /
                      ICMPv6NDOptDstLLAddr(lladdr=mac),
                      *[lan / IPv6(src=Family6.outside, dst=ALL_NODES, hlim=255) / ICMPv6ND_NS(tgt=target) /
                        ICMPv6NDOptSrcLLAddr(lladdr=mac) for target in (a.address6, a.info["gateway6"])])
    wait_for(lambda: f"default via {router}" in host.ip("-6", "route"), 5)
    wait_for(lambda: PREFIX in host.ip("-6", "route"), 5)
    assert host.ping(Family6.outside).returncode == 0
    assert host.json()["drops"] == before
    assert known(a) == stack
    assert not inside.matching(lambda p: ICMPv6ND_RA in p or ICMPv6ND_NS in p and p.pkttype != p.OUTGOING)
    with echo(host.outside, "tcp", address="::") as server:
        assert question(a, "tcp", Family6.far, server.port)
