# SPDX-License-Identifier: GPL-2.0-only
"""Where there is no IPv6, or not enough room for it, an endpoint has IPv4, and `add` says why it has no more."""
import json

import pytest
import snapshot
from families import FAMILIES
from topology import HOST_ADDRESS, OUTSIDE_FAR, Netns, run

pytestmark = pytest.mark.families("both")

SWITCHES = ["all", "default", "lo"]


def switch_off(netns, *devices):
    for device in devices:
        netns.sysctl(f"net.ipv6.conf.{device}.disable_ipv6", 1)


def is_ipv4_only(host, short):
    """In the listing, inside, outside and on the wire."""
    ns = host.endpoint(short)
    info = ns.info
    assert len(info["addresses"]) == 1 and "." in info["addresses"][0] and info["gateway6"] is None
    assert info["state"] == "up"
    assert "scope global" not in ns.ip("-6", "address") and "default" not in ns.ip("-6", "route")
    assert "inet6" not in host.ip("address", "show", "dev", ns.device)
    assert host.ip("-6", "neighbour", "show", "dev", ns.device) == ""
    assert ns.ping(info["gateway"]).returncode == 0
    assert ns.ping(OUTSIDE_FAR).returncode == 0
    host.nsbpf("expose", ns.name, "5000")
    with ns.tcp_echo(5000):
        assert host.outside.tcp(HOST_ADDRESS, 5000)["data"] == "hello"
    return True


def is_dual(ns):
    return all(ns.ping(family.far).returncode == 0 for family in FAMILIES.values())


def add(host, short, *options, **more):
    """What is said on stderr."""
    done = host.nsbpf("add", host.name(short), *options, **more)
    assert "inet6" not in done.stdout
    return done.stderr


@pytest.mark.parametrize("switch", SWITCHES)
def test_switched_off_on_the_host(host, switch):
    switch_off(host, switch)
    before = snapshot.take(host)
    assert add(host, "a") == (f"nsbpf: {host.name('a')} has no IPv6: "
                              f"net.ipv6.conf.{switch}.disable_ipv6 is 1 on this host\n")
    assert is_ipv4_only(host, "a")
    network, = host.json("network", "list")
    assert network["subnet6"], "kept for when there is IPv6"
    host.nsbpf("down")
    assert snapshot.difference(before, snapshot.take(host)) == []


def test_json_has_it_as_the_warning(host):
    switch_off(host, "default")
    done = host.nsbpf("add", host.name("a"), "-j")
    assert done.stderr == ""
    assert json.loads(done.stdout) == {
        "changed": True,
        "warning": f"{host.name('a')} has no IPv6: net.ipv6.conf.default.disable_ipv6 is 1 on this host"}
    host.ip("route", "del", "default")
    host.ip("-6", "route", "del", "default")
    host.nsbpf("uplink", "del", "up0")
    done = json.loads(host.nsbpf("add", host.name("b"), "-j").stdout)
    assert "has no IPv6" in done["warning"] and "no uplink" in done["warning"]
    assert json.loads(host.nsbpf("add", host.name("a"), "-j").stdout) == {"changed": False, "warning": None}


def test_ipv6_that_comes_later(host):
    """What is there stays as it is; what comes next has both families, in the network's subnet of old."""
    switch_off(host, "all", "default")
    add(host, "a")
    network, = host.json("network", "list")
    for device in ("all", "default", "lo", "up0"):
        host.sysctl(f"net.ipv6.conf.{device}.disable_ipv6", 0)
    host.ip_batch("address add 2001:db8:1::1/64 dev up0 nodad", "address add fe80::1/64 dev up0 nodad",
                  "route add default via fe80::2 dev up0")
    b = host.add("b")
    assert is_dual(b) and is_ipv4_only(host, "a")
    assert "unreachable " + network["subnet6"] in host.ip("-6", "route")
    assert host.nsbpf("add", host.name("a")).stdout == "unchanged\n"
    run("ip", "netns", "del", host.name("a"))
    assert is_dual(host.add("a"))


def test_an_endpoint_made_anew_without_ipv6(host):
    """It had an address, which nobody asked for: without is what it is now."""
    host.add("a")
    run("ip", "netns", "del", host.name("a"))
    switch_off(host, "default")
    assert "has no IPv6" in add(host, "a")
    assert is_ipv4_only(host, "a")


@pytest.mark.parametrize("switch", ["all", "default"])
def test_switched_off_in_the_namespace(host, switch):
    run("ip", "netns", "add", host.name("a"))
    switch_off(Netns(host.name("a"), host), switch)
    before = snapshot.take(host)
    assert add(host, "a") == (f"nsbpf: {host.name('a')} has no IPv6: "
                              "net.ipv6.conf.eth0.disable_ipv6 is 1 in the namespace\n")
    assert is_ipv4_only(host, "a")
    assert is_dual(host.add("b"))
    address6, = (entry["addresses"][1] for entry in host.json("list") if entry["name"] == host.name("b"))
    assert address6.endswith("::3"), "the same number as in IPv4"
    host.nsbpf("del", host.name("b"))
    host.nsbpf("down")
    assert snapshot.difference(before, snapshot.take(host)) == []


@pytest.mark.parametrize("mtu", [576, 1279, 1280])
def test_an_mtu_that_is_too_small(host, mtu):
    said = add(host, "a", "--mtu", mtu)
    if mtu < 1280:
        assert said == f"nsbpf: {host.name('a')} has no IPv6: its MTU is less than 1280\n"
        assert is_ipv4_only(host, "a")
    else:
        assert said == "" and is_dual(host.endpoint("a"))


@pytest.mark.parametrize("where", ["host", "namespace", "mtu"])
def test_an_address_asked_for_is_an_error_then(host, where):
    host.nsbpf("network", "add", "blue", "--subnet6", "2001:db8:5::/64")
    if where == "namespace":
        run("ip", "netns", "add", host.name("a"))
    if where != "mtu":
        switch_off(host if where == "host" else Netns(host.name("a"), host), "default")
    before = snapshot.take(host)
    for ip in ("2001:db8:5::5", "10.80.0.5,2001:db8:5::5"):
        done = host.nsbpf("add", host.name("a"), "--network", "blue", "--ip", ip,
                          *(["--mtu", "1000"] if where == "mtu" else []), check=False)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done
        assert "2001:db8:5::5" in done.stderr and host.name("a") in done.stderr
        assert host.json("list") == []
        assert snapshot.difference(before, snapshot.take(host)) == []


def test_an_uplink_without_ipv6(host):
    """Inside, and between endpoints, there is IPv6 all the same; outside, IPv4."""
    host.ip("-6", "address", "flush", "dev", "up0")
    host.ip("-6", "route", "flush", "dev", "up0")
    a, b = host.add("a"), host.add("b")
    uplink, = host.json("uplink", "list")
    assert (uplink["address"], uplink["address6"]) == (HOST_ADDRESS, None)
    assert a.ping(OUTSIDE_FAR).returncode == 0
    for target in (a.info["gateway6"], b.address6):
        assert a.ping(target).returncode == 0
    assert a.tcp("2001:db8:cafe::2", 80)["error"] == "ENETUNREACH"


def toggle(netns):
    """As VPN clients and NetworkManager do: everything of IPv6 is flushed."""
    for value in (1, 0):
        netns.sysctl("net.ipv6.conf.all.disable_ipv6", value)


def give_back(host):
    """What the operator's own tools bring back after that."""
    host.ip_batch("address add 2001:db8:1::1/64 dev up0 nodad", "address add fe80::1/64 dev up0 nodad",
                  "route add default via fe80::2 dev up0")


def test_what_the_host_lost_comes_back(host):
    """By whatever command comes next that refreshes."""
    endpoints = host.add("a"), host.add("b")
    host.nsbpf("network", "add", "blue", "--subnet6", "2001:db8:5::/64")
    before = snapshot.take(host)
    toggle(host)
    give_back(host)
    assert host.ping(endpoints[0].address6).returncode
    host.nsbpf("expose", endpoints[0].name, "5000")
    for endpoint in endpoints:
        assert host.ping(endpoint.address6).returncode == 0 and is_dual(endpoint)
        assert endpoint.ping(endpoint.info["gateway6"]).returncode == 0
    assert "unreachable 2001:db8:5::/64" in host.ip("-6", "route")
    host.nsbpf("unexpose", endpoints[0].name, "5000")
    assert snapshot.difference(before, snapshot.take(host)) == []


def test_the_way_to_an_endpoint_that_was_removed(host):
    a = host.add("a")
    host.ip("-6", "route", "del", a.address6)
    assert host.nsbpf("add", a.name).stdout.startswith(f"{a.name}: ")
    assert host.ping(a.address6).returncode == 0
    assert host.nsbpf("add", a.name).stdout == "unchanged\n"


def test_what_a_namespace_lost_comes_back(host):
    a = host.add("a")
    addresses = a.ip("-6", "-o", "address", "show", "scope", "global")
    toggle(a)
    assert a.ping(a.info["gateway6"]).returncode
    assert host.nsbpf("add", a.name).stdout.startswith(f"{a.name}: ")
    assert is_dual(a) and a.ip("-6", "-o", "address", "show", "scope", "global") == addresses
    assert host.nsbpf("add", a.name).stdout == "unchanged\n"


def test_a_default_route_that_was_taken_away_is_not_brought_back(host):
    """In its own namespace everybody routes as they like."""
    a = host.add("a")
    a.ip("-6", "route", "del", "default")
    assert host.nsbpf("add", a.name).stdout == "unchanged\n"
    assert "default" not in a.ip("-6", "route")


def test_a_namespace_with_a_default_route_of_its_own(host):
    """It goes on by that one in IPv6, as it was, and gets IPv4 from us."""
    run("ip", "netns", "add", host.name("a"))
    ns = Netns(host.name("a"), host)
    host.connect(ns, "own0", host.outside, "other0")
    ns.ip_batch("link set lo up", "address add 2001:db8:99::1/64 dev own0 nodad",
                "route add default via 2001:db8:99::2 dev own0")
    host.outside.ip("address", "add", "2001:db8:99::2/64", "dev", "other0", "nodad")
    before = ns.ip("-6", "route")
    assert add(host, "a") == f"nsbpf: {ns.name} has no IPv6: the namespace has a default route of its own\n"
    info = host.endpoint("a").info
    assert (len(info["addresses"]), info["gateway6"]) == (1, None)
    assert ns.ping(OUTSIDE_FAR).returncode == 0 and ns.ping("2001:db8:99::2").returncode == 0
    after = [line for line in ns.ip("-6", "route").splitlines() if "dev eth0" not in line]
    assert after == before.splitlines()
    host.nsbpf("del", ns.name, "--keep")
    assert ns.ip("-6", "route") == before
