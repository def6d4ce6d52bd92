# SPDX-License-Identifier: GPL-2.0-only
"""What the outside sees an endpoint as: the address that the host's own sockets would have taken, whatever it has.

The host itself is asked: its socket and the endpoint's talk to the same server, which has to see one address.

    a ---- host ---- up0 198.51.100.1, 2001:db8:1::1 ---- wan0   outside   203.0.113.2, 203.0.113.3, 192.0.2.77,
                ---- up1 198.18.0.1, 2001:db8:18::1 ----- wan1             2001:db8:cafe::2, ::3, 2001:db8:77::77, fd99:1::1
"""
import pytest
from families import FAMILIES, Family6
from nat import more_servers
from scapy.layers.inet6 import ICMPv6ND_RA, ICMPv6NDOptPrefixInfo, IPv6
from scapy.layers.l2 import Ether
from topology import wait_for
from wire import echo

SOON = 2.5  # a second, and a loaded machine
ULA_SERVER = "fd99:1::1"
DEFAULT6 = "via fe80::2 dev up0"

# What is done to the host's addresses, routes and rules; in `ip -batch` words.
SCENARIOS = {
    "as it is": (),
    "several of one prefix": ("address add 2001:db8:1::5/64 dev up0 nodad", "address add 2001:db8:1::4/64 dev up0 nodad",
                              "address add 198.51.100.5/24 dev up0"),
    "one is deprecated": ("address add 2001:db8:1::5/64 dev up0 nodad",
                          "address add 2001:db8:1::6/64 dev up0 nodad preferred_lft 0"),
    "the first one is deprecated": ("address add 2001:db8:1::5/64 dev up0 nodad",
                                    "address change 2001:db8:1::1/64 dev up0 preferred_lft 0"),
    "all are deprecated": ("address change 2001:db8:1::1/64 dev up0 preferred_lft 0",),
    "a unique local one": ("address add fd99::1/64 dev up0 nodad",),
    "one that is closer to some servers": ("address add 2001:db8:cafe:1::1/64 dev up0 nodad",
                                           "address add 2001:db8:77:1::1/64 dev up0 nodad"),
    "two prefixes, one of them old": ("address add 2001:db8:2::1/64 dev up0 nodad preferred_lft 0",
                                      "address add 2001:db8:3::1/64 dev up0 nodad"),
    "the route says which": ("address add 2001:db8:1::5/64 dev up0 nodad", "address add 198.51.100.5/24 dev up0",
                             f"route replace default {DEFAULT6} metric 512 src 2001:db8:1::5",
                             "route replace default via 198.51.100.2 src 198.51.100.5"),
    "some routes say which": ("address add 2001:db8:1::5/64 dev up0 nodad", "address add 198.51.100.5/24 dev up0",
                              f"route add 2001:db8:cafe::3 {DEFAULT6} src 2001:db8:1::5",
                              "route add 203.0.113.3 via 198.51.100.2 src 198.51.100.5"),
    "one of another device": ("address add 2001:db8:21::1/128 dev lo", "address add 172.21.0.1/32 dev lo",
                              f"route replace default {DEFAULT6} metric 512 src 2001:db8:21::1",
                              "route replace default via 198.51.100.2 src 172.21.0.1"),
    "none of the uplink's own": ("address add 2001:db8:21::1/128 dev lo", "address del 2001:db8:1::1/64 dev up0"),
    "two uplinks": ("route add 2001:db8:cafe::3 via fe80::2 dev up1", "route add 203.0.113.3 via 198.18.0.2"),
    "the other uplink is better": ("route add default via fe80::2 dev up1 metric 100",
                                   "route replace default via 198.18.0.2"),
    "rules by port": ("route add default via fe80::2 dev up1 table 100", "route add default via 198.18.0.2 table 100",
                      "-6 rule add dport 8081 lookup 100", "rule add dport 8081 lookup 100"),
    "rules by protocol and destination": (
        "route add default via fe80::2 dev up1 table 100", "route add default via 198.18.0.2 table 100",
        "-6 rule add ipproto udp lookup 100", "rule add ipproto udp lookup 100",
        "-6 rule add to 2001:db8:77::/48 lookup 100", "rule add to 192.0.2.0/24 lookup 100"),
    "a rule that says which": ("address add 2001:db8:1::5/64 dev up0 nodad",
                               f"route add default {DEFAULT6} table 100 src 2001:db8:1::5",
                               "-6 rule add to 2001:db8:77::/48 lookup 100"),
}
PAIRS = [(name, family) for name, commands in SCENARIOS.items() for family in FAMILIES.values()
         if not commands or any(("::" in line or "-6" in line) == (family is Family6) for line in commands)]


@pytest.fixture
def two_uplinks(host):
    more_servers(host.outside)
    host.connect(host, "up1", host.outside, "wan1")
    for family in FAMILIES.values():
        host.add_address(f"{family.other_host}/{family.link_length}", "up1")
        host.outside.add_address(f"{family.other_via}/{family.link_length}", "wan1")
        host.outside.sysctl(f"{family.conf}.conf.all.forwarding", "1")
    host.outside.ip("address", "add", f"{ULA_SERVER}/128", "dev", "lo")
    # The host's addresses are all answered by its first link, whichever they are: the outside is a provider to both.
    host.outside.ip_batch("route add default via fe80::1 dev wan0", "route add default via 198.51.100.1")
    for device in ("wan0", "wan1"):
        host.outside.sysctl(f"net.ipv4.conf.{device}.rp_filter", "0")
    host.nsbpf("uplink", "add", "up1")
    return host


def change(host, scenario):
    for line in SCENARIOS[scenario]:  # each by itself: a batch is of one family
        host.ip(*line.split())


def choices(netns, family):
    """Whom the servers see, by protocol, port and address."""
    destinations = [*family.servers, *([ULA_SERVER] if family is Family6 else [])]
    return {(proto, port, address): getattr(netns, proto)(address, port, timeout=1.0).get("peer")
            for proto, port in (("udp", 8080), ("udp", 8081), ("tcp", 8080)) for address in destinations}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("scenario, family", PAIRS, ids=lambda value: getattr(value, "name", value))
def test_as_the_hosts_own(two_uplinks, scenario, when, family):
    """Before the endpoint is added, or while it runs: then within a second, without a command."""
    host = two_uplinks
    if when == "before":
        change(host, scenario)
    a = host.add("a")
    if when == "after":
        assert a.ping(family.far).returncode == 0
        change(host, scenario)
    for proto, port in (("udp", 8080), ("udp", 8081), ("tcp", 8080)):
        echo(host.outside, proto, port, family.any)
    wanted = choices(host, family)
    assert None not in wanted.values()
    seen = {}

    def same():
        seen.update(choices(a, family))
        return seen == wanted
    try:
        wait_for(same, SOON if when == "after" else 0)
    except AssertionError:
        assert seen == wanted


@pytest.mark.families(6)
@pytest.mark.parametrize("temporary", ["0", "2"])
def test_temporary_addresses(host, temporary):
    """Those of RFC 8981, from real advertisements: preferred by the host's own sockets only if it says so."""
    host.ip("link", "set", "up0", "addrgenmode", "eui64")
    host.ip("-6", "route", "del", "default")  # the kernel would add none by the same router, and ignore the rest
    for name, value in (("accept_ra", 1), ("use_tempaddr", temporary), ("accept_dad", 0)):
        host.sysctl(f"net.ipv6.conf.up0.{name}", value)
    host.outside.sysctl("net.ipv6.conf.all.forwarding", "1")  # else it would say that it is no router
    mac = host.outside.link("wan0")["address"]
    host.outside.send("wan0", Ether(src=mac, dst="33:33:00:00:00:01") / IPv6(src="fe80::2", dst="ff02::1", hlim=255) /
                      ICMPv6ND_RA(routerlifetime=1800) / ICMPv6NDOptPrefixInfo(prefix="2001:db8:5::", prefixlen=64))
    count = 2 if temporary == "2" else 1
    wait_for(lambda: host.ip("-6", "-o", "address", "show", "dev", "up0").count("2001:db8:5:") == count)
    host.outside.ip("route", "add", "2001:db8:5::/64", "via", "fe80::1", "dev", "wan0")
    host.ip("address", "del", f"{Family6.host}/64", "dev", "up0")
    a = host.add("a")
    with host.outside.tcp_echo(address="::") as server:
        own = host.tcp(Family6.far, server.port)["peer"]
        assert own.startswith("2001:db8:5:")
        assert a.tcp(Family6.far, server.port)["peer"] == own
