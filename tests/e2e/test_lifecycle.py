# SPDX-License-Identifier: GPL-2.0-only
"""add, del, down: what they make, what they say, and that it is gone afterwards."""
import ipaddress
import os
import re
import struct
import time

import maps
import pytest
import snapshot
from families import FAMILIES, Family4, Family6
from topology import (ETC_NETNS, NETNS_DIR, OUTSIDE_ADDRESS, OUTSIDE_FAR, OUTSIDE_FAR6,
                      OUTSIDE_LINK_LOCAL, Netns, run, wait_for)

GATEWAY_MAC = "02:6e:73:62:70:66"
FIRST_SLOT = 1
ADDED = re.compile(r"(?P<name>\S+): (?P<address>[\d.]+)/(?P<prefix>\d+) via (?P<gateway>[\d.]+),"
                   r" (?P<address6>fd[0-9a-f:]+)/(?P<prefix6>\d+) via (?P<gateway6>fd[0-9a-f:]+),"
                   r" network (?P<network>\S+), mac (?P<mac>[0-9a-f:]{17}), mtu (?P<mtu>\d+), dns (?P<dns>.+)\n")


def mac_of(address):
    return "02:6e:" + ":".join(f"{int(byte):02x}" for byte in address.split("."))


def interfaces(netns):
    return {link["ifname"]: link for link in netns.ip_json("-d", "link")}


def default_network(host):
    network, = (entry for entry in host.json("network", "list") if entry["name"] == "default")
    return network


def addresses(netns, device, family, scope="global"):
    """As they are written: "10.80.0.2/16"."""
    return [f"{info['local']}/{info['prefixlen']}"
            for link in netns.ip_json(f"-{family.number}", "address", "show", "dev", device, "scope", scope)
            for info in link["addr_info"] if info]


def reaches_gateways(ns):
    return all(ns.ping(ns.gateway_of(family)).returncode == 0 for family in FAMILIES.values())


def routes(netns, family, *what):
    return netns.ip_json(f"-{family.number}", "route", "show", *what)


@pytest.mark.attach
@pytest.mark.families("both")
def test_add_says_what_it_chose(host):
    done = host.nsbpf("add", host.name("a"))
    said = ADDED.fullmatch(done.stdout)
    assert said, done.stdout
    assert said["name"] == host.name("a")
    assert (said["address"], said["prefix"], said["gateway"]) == ("10.80.0.2", "16", "10.80.0.1")
    subnet6 = ipaddress.ip_network(default_network(host)["subnet6"])
    assert (said["address6"], said["prefix6"], said["gateway6"]) == (str(subnet6[2]), "64", str(subnet6[1]))
    assert (said["network"], said["mac"], said["mtu"]) == ("default", "02:6e:0a:50:00:02", "1500")
    assert done.stderr == ""
    assert host.json("uplink", "list")[0]["attach"] == host.attach


def test_namespace_is_as_ip_netns_makes_it(host):
    ns = host.add("a")
    assert host.name("a") in run("ip", "netns", "list").stdout.split()
    assert ns.run("echo", "inside", via="exec").stdout == "inside\n"
    links = interfaces(ns)
    assert set(links) == {"lo", "eth0"}
    assert "UP" in links["lo"]["flags"] and "UP" in links["eth0"]["flags"]
    assert links["eth0"]["address"] == "02:6e:0a:50:00:02"
    assert links["eth0"]["mtu"] == 1500


def test_addresses_and_routes_inside(host, family):
    ns = host.add("a")
    subnet = default_network(host)["subnet6" if family.number == 6 else "subnet"]
    assert addresses(ns, "eth0", family) == [f"{ns.address_of(family)}/{subnet.split('/')[1]}"]
    found = {(route["dst"], route.get("gateway"), route["dev"]) for route in routes(ns, family)}
    assert found - {("fe80::/64", None, "eth0")} == {("default", ns.gateway_of(family), "eth0"), (subnet, None, "eth0")}


@pytest.mark.families(6)
def test_a_namespace_has_a_link_local_address_as_usual(host):
    """Neighbour discovery needs it; made of the MAC, and the host's end has none."""
    ns = host.add("a", "--mac", "02:00:5e:00:53:01")
    wait_for(lambda: addresses(ns, "eth0", Family6, "link") == ["fe80::5eff:fe00:5301/64"])
    assert addresses(host, ns.device, Family6, "link") == []


def test_both_families_work_as_soon_as_add_has_returned(host, family):
    """No address waits for duplicate detection, neither here nor there."""
    host.outside.tcp_echo(7000, address=family.any)
    for number in range(5):
        ns = host.add(f"n{number}")
        started = time.monotonic()
        assert ns.tcp(family.far, 7000, timeout=0.9)["data"] == "hello", "before a SYN would be repeated"
        assert time.monotonic() - started < 0.9
        assert host.ping(ns.address_of(family)).returncode == 0


def test_host_side(host, family):
    ns = host.add("a")
    name = f"nsb-{ns.name}"
    assert ns.device == name if len(name) <= 15 else re.fullmatch(r"nsb\d+", ns.device)
    veth = interfaces(host)[ns.device]
    assert veth["address"] == GATEWAY_MAC and "UP" in veth["flags"] and veth["mtu"] == 1500
    # IPv6's is on lo, once for all: see user/network_routes.c
    assert addresses(host, ns.device, Family4) == ["10.80.0.1/32"]
    assert addresses(host, "lo", Family6) == [f"{ns.gateway_of(Family6)}/128"]
    assert "deprecated" in host.ip("-6", "address", "show", "dev", "lo", "scope", "global")
    found = routes(host, family)
    assert [(route["dev"], route["prefsrc"]) for route in found if route["dst"] == ns.address_of(family)] == [
        (ns.device, ns.gateway_of(family))]
    subnet = default_network(host)["subnet6" if family.number == 6 else "subnet"]
    assert [route.get("type") for route in found if route["dst"] == subnet] == ["unreachable"]
    neighbours = host.ip_json(f"-{family.number}", "neighbour", "show", "nud", "permanent", "dev", ns.device)
    assert [(n["dst"], n["lladdr"]) for n in neighbours] == [(ns.address_of(family), "02:6e:0a:50:00:02")]


def test_long_name_gets_a_short_device(host):
    short = "x" * (63 - len(host.name("")))
    ns = host.add(short)
    assert re.fullmatch(r"nsb\d+", ns.device), ns.device
    assert reaches_gateways(ns)


@pytest.mark.attach
@pytest.mark.families("both")
def test_namespace_reaches_host_and_outside(host):
    a, b = host.add("a"), host.add("b")
    for family in FAMILIES.values():
        a_address, b_address = a.address_of(family), b.address_of(family)
        for source, target in ((a, a.gateway_of(family)), (a, family.host), (a, family.outside), (a, family.far),
                               (a, b_address), (b, a_address), (host, a_address), (host, b_address)):
            assert source.ping(target).returncode == 0, f"{source.netns} to {target}"


@pytest.mark.families("both")
def test_addresses_are_given_lowest_first_and_again(host):
    for short in "abc":
        host.add(short)
    host.nsbpf("del", host.name("b"))
    host.add("d")
    host.add("e")
    subnet6 = ipaddress.ip_network(default_network(host)["subnet6"])
    given = {name.removeprefix(host.prefix): entry["addresses"] for name, entry in host.endpoints().items()}
    assert given == {short: [f"10.80.0.{number}", str(subnet6[number])]
                     for short, number in (("a", 2), ("c", 4), ("d", 3), ("e", 5))}


@pytest.mark.families("both")
def test_options(host):
    ns = host.add("a", "--ip", "10.80.9.9", "--mac", "02:00:5e:00:53:01", "--mtu", "1280",
                  "--dns", "192.0.2.1,192.0.2.2")
    info = ns.info
    same_number = ipaddress.ip_network(default_network(host)["subnet6"])[0x909]
    assert (info["addresses"], info["mac"], info["mtu"]) == (["10.80.9.9", str(same_number)], "02:00:5e:00:53:01", 1280)
    eth0 = interfaces(ns)["eth0"]
    assert (eth0["address"], eth0["mtu"]) == ("02:00:5e:00:53:01", 1280)
    assert interfaces(host)[info["device"]]["mtu"] == 1280
    with open(ns.resolv_conf, encoding="utf-8") as resolv_conf:
        assert [line.split() for line in resolv_conf if line.startswith("nameserver")] == [
            ["nameserver", "192.0.2.1"], ["nameserver", "192.0.2.2"]]
    for family in FAMILIES.values():
        assert ns.ping(ns.gateway_of(family)).returncode == 0
        assert ns.ping(family.far).returncode == 0


def test_max_connections(host):
    said = ADDED.fullmatch(host.nsbpf("add", host.name("a"), "--max-connections", "100").stdout)
    assert said["dns"].endswith(", max-connections 100")
    host.add("b", "--max-connections", "auto")
    host.add("c", "--max-connections", "0")
    host.add("d")
    limits = {name.removeprefix(host.prefix): entry["max_connections"] for name, entry in host.endpoints().items()}
    assert limits == {"a": 100, "b": None, "c": None, "d": None}
    for short, limit in (("a", "100"), ("b", "auto"), ("d", "0")):
        assert host.nsbpf("add", host.name(short), "--max-connections", limit).stdout == "unchanged\n"
    for short, limit in (("a", "auto"), ("a", "101"), ("b", "100")):
        refused = host.nsbpf("add", host.name(short), "--max-connections", limit, check=False)
        assert refused.returncode == 4 and host.name(short) in refused.stderr
    run("ip", "netns", "del", host.name("a"))
    host.nsbpf("add", host.name("a"))
    assert host.endpoint("a").info["max_connections"] == 100, "made anew as it was"


@pytest.mark.attach
def test_max_connections_on_the_wire(host, family):
    ns = host.add("a", "--max-connections", "3")
    free = host.add("b")
    host.outside.tcp_echo(7000, family.any)
    sessions = [ns.tcp_session(family.far, 7000) for _ in range(3)]
    assert all("data" in session.ask() for session in sessions)
    assert ns.tcp(family.far, 7000, timeout=1.5).get("error")
    assert host.json()["drops"]["quota"] >= 1
    assert free.tcp(family.far, 7000)["data"] == "hello"
    assert all("data" in session.ask() for session in sessions)


def test_mtu_follows_the_uplink(host):
    host.ip("link", "set", "up0", "mtu", "1400")
    said = ADDED.fullmatch(host.nsbpf("add", host.name("a")).stdout)
    assert said["mtu"] == "1400"
    assert interfaces(host.endpoint("a"))["eth0"]["mtu"] == 1400


@pytest.mark.parametrize("taken, subnet", [
    (["10.80.0.0/16"], "10.81.0.0/16"),
    (["10.80.77.0/24"], "10.81.0.0/16"),
    (["10.80.0.9/32"], "10.81.0.0/16"),
    (["10.80.0.0/15"], "10.82.0.0/16"),
    (["10.80.0.0/16", "10.81.3.0/30"], "10.82.0.0/16"),
    (["10.0.0.0/9"], "10.128.0.0/16"),
])
@pytest.mark.families(4)
def test_default_network_overlaps_no_route(host, taken, subnet):
    for route in taken:
        host.ip("route", "add", route, "via", OUTSIDE_ADDRESS)
    host.add("a")
    assert [network["subnet"] for network in host.json("network", "list")] == [subnet]


@pytest.mark.parametrize("taken, steps", [
    ([64], 1),
    ([80], 1),
    ([128], 1),
    ([64, 65], 2),
    ([48 + 12], "behind"),
    ([47], 0),  # an aggregate, behind which nobody has our 40 bits
    ([7], 0),
])
@pytest.mark.families(6)
def test_default_network_overlaps_no_ipv6_route(host, taken, steps):
    """The next /64 of this machine's own /48 that is free."""
    first = free_subnet6(host)
    for length in taken:
        network = ipaddress.ip_network((first[0], min(length, 64)), strict=False)
        if length == 65:  # the /64 behind
            network = ipaddress.ip_network((int(first[0]) + 2 ** 64, 64))
        elif length > 64:  # within
            network = ipaddress.ip_network((first[0] + 5, length), strict=False)
        host.ip("route", "add", network, "via", OUTSIDE_LINK_LOCAL, "dev", "up0")
    host.add("a")
    site = ipaddress.ip_network((first[0], 48), strict=False)
    if steps == "behind":
        block = ipaddress.ip_network((first[0], 60), strict=False)
        offset = (int(block[-1]) + 1 - int(site[0])) % 2 ** 80
    else:
        offset = (int(first[0]) + steps * 2 ** 64 - int(site[0])) % 2 ** 80
    assert default_network(host)["subnet6"] == f"{ipaddress.ip_address(int(site[0]) + offset)}/64"
    assert host.endpoint("a").ping(OUTSIDE_FAR6).returncode == 0


def free_subnet6(host):
    """What the default network has where nothing is in its way."""
    host.nsbpf("network", "add", "default")
    subnet6 = ipaddress.ip_network(default_network(host)["subnet6"])
    host.nsbpf("network", "del", "default")
    return subnet6


@pytest.mark.families(6)
def test_ipv6_subnets_are_the_same_after_every_restart(host):
    def subnets():
        host.nsbpf("network", "add", "blue")
        host.add("a")
        return {entry["name"]: ipaddress.ip_network(entry["subnet6"]) for entry in host.json("network", "list")}
    first = subnets()
    host.nsbpf("down")
    assert subnets() == first
    assert first["blue"].supernet(new_prefix=48) == first["default"].supernet(new_prefix=48)
    assert first["blue"] != first["default"]


@pytest.mark.parametrize("kind", ["unreachable", "blackhole", "prohibit"])
@pytest.mark.families("both")
def test_a_route_that_leads_nowhere_may_be_around_a_subnet(host, kind):
    """As whoever gets a prefix delegated has it, to take subnets from."""
    host.ip_batch(f"route add {kind} fc00::/7", f"route add {kind} 10.0.0.0/8", f"route add {kind} 2001:db8:5::/48")
    host.nsbpf("network", "add", "blue", "--subnet6", "2001:db8:5:7::/64")
    for ns in (host.add("a"), host.add("b", "--network", "blue")):
        assert ns.ping(OUTSIDE_FAR).returncode == 0
        assert ns.ping(OUTSIDE_FAR6).returncode == 0
    assert {entry["subnet"] for entry in host.json("network", "list")} == {"10.80.0.0/16", "10.81.0.0/16"}


@pytest.mark.families(4)
def test_default_network_minds_other_tables_too(host):
    host.ip("route", "add", "10.80.0.0/16", "via", OUTSIDE_ADDRESS, "table", "77")
    host.add("a")
    assert [network["subnet"] for network in host.json("network", "list")] == ["10.81.0.0/16"]


@pytest.mark.families("both")
def test_without_a_default_route(host):
    """No uplink, then: namespaces talk to the host and to each other."""
    host.ip("route", "del", "default")
    host.ip("-6", "route", "del", "default")
    a, b = host.add("a"), host.add("b")
    for family in FAMILIES.values():
        assert a.ping(a.gateway_of(family)).returncode == 0
        assert a.ping(b.address_of(family)).returncode == 0
    host.nsbpf("down")


@pytest.mark.attach
def test_uplink_that_comes_later_is_taken_up_by_the_next_add(host, family):
    """In either family alone."""
    host.ip("-4", "route", "del", "default")
    host.ip("-6", "route", "del", "default")
    a = host.add("a")
    assert host.json("uplink", "list") == []
    host.ip("route", "add", "default", "via", family.via, "dev", "up0")
    host.add("b")
    assert [uplink["name"] for uplink in host.json("uplink", "list")] == ["up0"]
    assert a.ping(family.far).returncode == 0


# adopted namespaces

def adoptable(host, short):
    """A namespace of the operator's own, with something in it to recognise it by."""
    run("ip", "netns", "add", host.name(short))
    ns = Netns(host.name(short), host)
    ns.ip("link", "set", "lo", "up")
    ns.ip("address", "add", "192.0.2.77/32", "dev", "lo")
    return ns


@pytest.mark.attach
def test_add_adopts_a_namespace_that_exists(host):
    ns = adoptable(host, "a")
    host.nsbpf("add", ns.name)
    info = host.endpoints()[ns.name]
    assert info["adopted"] is True and info["state"] == "up"
    assert "192.0.2.77" in ns.ip("address")
    assert reaches_gateways(host.endpoint("a"))


@pytest.mark.families("both")
def test_del_keep_leaves_an_adopted_namespace(host):
    ns = adoptable(host, "a")
    before = snapshot.take(ns_view(host, ns))
    host.nsbpf("add", ns.name)
    host.nsbpf("del", ns.name, "--keep")
    assert host.json("list") == []
    assert snapshot.difference(before, snapshot.take(ns_view(host, ns)), "pins") == []


def ns_view(host, ns):
    """The namespace as snapshot.take() wants it: with the host's names."""
    view = Netns(ns.netns, host)
    view.prefix, view.cookie, view.pin_directories = host.prefix, host.cookie, host.pin_directories
    return view


@pytest.mark.families("both")
def test_del_of_an_adopted_namespace_removes_it(host):
    ns = adoptable(host, "a")
    host.nsbpf("add", ns.name)
    host.nsbpf("del", ns.name)
    assert not os.path.exists(ns.path)


@pytest.mark.families("both")
def test_down_leaves_an_adopted_namespace(host):
    ns = adoptable(host, "a")
    before = snapshot.take(ns_view(host, ns))
    host.nsbpf("add", ns.name)
    host.nsbpf("down")
    assert snapshot.difference(before, snapshot.take(ns_view(host, ns))) == []


@pytest.mark.families("both")
def test_adopting_a_namespace_with_an_eth0_is_refused(host):
    ns = adoptable(host, "a")
    host.connect(ns, "eth0", host.outside, "other0")
    before = snapshot.take(ns_view(host, ns))
    refused = host.nsbpf("add", ns.name, check=False)
    assert refused.returncode == 4, refused.stderr
    assert "eth0" in refused.stderr and len(refused.stderr.splitlines()) == 1
    assert snapshot.difference(before, snapshot.take(ns_view(host, ns)), "pins") == []
    assert host.json("list") == []


def test_a_left_over_file_in_run_netns_is_no_namespace(host):
    """`umount` of a name, or a reboot with /run on disk, leaves such files."""
    with open(f"{NETNS_DIR}/{host.name('a')}", "w", encoding="utf-8"):
        pass
    ns = host.add("a")
    assert ns.info["adopted"] is False
    assert reaches_gateways(ns)


# del and down

@pytest.mark.attach
@pytest.mark.families("both")
def test_pitfall_cni_810_752_del_leaves_nothing(host):
    host.add("a")
    before = snapshot.take(host)
    ns = host.add("b")
    host.nsbpf("expose", ns.name, "5000")
    assert all(ns.ping(family.far).returncode == 0 for family in FAMILIES.values())
    host.nsbpf("del", ns.name)
    assert snapshot.difference(before, snapshot.take(host)) == []
    assert list(host.endpoints()) == [host.name("a")]
    assert host.json("ports") == []
    assert not os.path.exists(f"{ETC_NETNS}/{ns.name}")


@pytest.mark.attach
def test_a_slot_is_used_again_when_nothing_is_left_of_it(host, family):
    """No connection, no NAT port, no count of the endpoint before."""
    host.outside.tcp_echo(7000, family.any)
    host.outside.udp_echo(7001, family.any)
    for short in "ab":
        ns = host.add(short)
        host.nsbpf("expose", ns.name, "5000")
        server = ns.tcp_echo(5000, family.any)
        sessions = [ns.tcp_session(family.far, 7000), ns.udp_session(family.far, 7001),
                    host.outside.tcp_session(family.host, 5000)]
        assert all("data" in session.ask() for session in sessions)
        assert ns.ping(family.far).returncode == 0
        used = maps.entry(host, "usage", FIRST_SLOT)
        assert used["connections"] == 4 and used["ports"] == 3
        for process in (*sessions, server):
            process.stop()
        host.nsbpf("del", ns.name)
        assert maps.entry(host, "usage", FIRST_SLOT) == {"connections": 0, "ports": 0}
        assert maps.entry(host, "usage", 0) == {"connections": 0, "ports": 0}
        assert not any(deadline for block in maps.values(host, "deadlines") for deadline in block["words"])


def test_a_slot_with_connections_is_left_alone(host):
    """They end by themselves in time; nobody else's packets may take them for theirs."""
    host.add("a")
    maps.write(host, "usage", FIRST_SLOT + 1, struct.pack("=II", 1, 0))
    maps.write(host, "usage", FIRST_SLOT + 2, struct.pack("=II", 0, 1))
    host.add("b")
    assert [maps.entry(host, "endpoints", slot)["state"] for slot in range(FIRST_SLOT, FIRST_SLOT + 4)] == [2, 0, 0, 2]
    maps.write(host, "usage", FIRST_SLOT + 1, bytes(8))
    host.add("c")
    assert maps.entry(host, "endpoints", FIRST_SLOT + 1)["state"] == 2


def test_del_while_something_runs_inside(host):
    """The namespace itself lives on until its last process ends, cut off from everything."""
    ns = host.add("a")
    sleeper = ns.popen("sleep", "60")
    host.nsbpf("del", ns.name)
    assert not os.path.exists(ns.path)
    assert host.json("list") == []
    links = run("nsenter", "-t", sleeper.pid, "-n", "ip", "-o", "link").stdout
    assert "eth0" not in links
    host.add("a")
    assert reaches_gateways(ns)


@pytest.mark.attach
def test_down_and_again(host):
    before = snapshot.take(host)
    for _ in range(2):
        ns = host.add("a")
        assert all(ns.ping(family.far).returncode == 0 for family in FAMILIES.values())
        host.nsbpf("down")
        assert snapshot.difference(before, snapshot.take(host)) == []


@pytest.mark.attach
def test_pitfall_namespace_deleted_behind_our_back(host):
    before = snapshot.take(host)
    host.add("a")
    kept = snapshot.take(host)
    ns = host.add("b")
    host.nsbpf("expose", ns.name, "5000")
    run("ip", "netns", "del", ns.name)
    assert {name: entry["state"] for name, entry in host.endpoints().items()} == {
        host.name("a"): "up", ns.name: "gone"}
    assert "gone" in host.nsbpf("list").stdout
    host.nsbpf("del", ns.name)
    assert snapshot.difference(kept, snapshot.take(host)) == []
    assert host.json("ports") == []
    run("ip", "netns", "del", host.name("a"))
    host.nsbpf("down")
    assert snapshot.difference(before, snapshot.take(host)) == []


def test_add_after_the_namespace_was_deleted_behind_our_back(host):
    ns = host.add("a")
    run("ip", "netns", "del", ns.name)
    host.nsbpf("add", ns.name)
    assert ns.info["state"] == "up"
    assert reaches_gateways(ns)


def test_namespace_replaced_behind_our_back(host):
    """Another namespace under the same name is not the endpoint."""
    ns = host.add("a")
    run("ip", "netns", "del", ns.name)
    run("ip", "netns", "add", ns.name)
    assert ns.info["state"] == "gone"
    host.nsbpf("del", ns.name)
    assert host.json("list") == []
