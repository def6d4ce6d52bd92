# SPDX-License-Identifier: GPL-2.0-only
"""network add, set, del, list: subnets of any size, gateways, and what collides with what."""
import ipaddress

import pytest
import snapshot
from families import FAMILIES, Family4, Family6
from topology import HOST_ADDRESS, HOST_ADDRESS6, OUTSIDE_ADDRESS, OUTSIDE_FAR, OUTSIDE_LINK_LOCAL, run

SECOND_ADDRESS = "198.51.100.9"


def networks(host):
    return {entry["name"]: entry for entry in host.json("network", "list")}


def endpoints(host):
    """Without the counters: an IPv6 stack has always something to say to its neighbours."""
    return [{key: value for key, value in entry.items() if not key.startswith(("rx_", "tx_"))}
            for entry in host.json("list")]


def refused(host, code, *command, names=()):
    """The command fails with this exit code and one line that names what matters, and changes nothing."""
    before = snapshot.take(host)
    listed = host.json("network", "list"), endpoints(host)
    done = host.nsbpf(*command, check=False)
    assert done.returncode == code, done
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("nsbpf: "), done.stderr
    for name in names:
        assert name in done.stderr
    assert (host.json("network", "list"), endpoints(host)) == listed
    assert snapshot.difference(before, snapshot.take(host)) == []


@pytest.mark.attach
@pytest.mark.parametrize("subnet, subnet6", [
    ("172.20.0.0/16", "fd00:1:2:3::/64"),
    ("172.21.7.0/24", "2001:db8:77::/48"),
    ("10.0.0.0/8", "2001:db8:77:0:1::/80"),
    ("192.168.9.64/28", "2001:db8:77::40/122"),
    ("192.168.9.4/30", "2001:db8:77::4/126"),
])
@pytest.mark.families("both")
def test_subnets(host, subnet, subnet6):
    subnets = ipaddress.ip_network(subnet), ipaddress.ip_network(subnet6)
    gateways, first = [str(net[1]) for net in subnets], [str(net[2]) for net in subnets]
    host.nsbpf("network", "add", "blue", "--subnet", subnet, "--subnet6", subnet6)
    assert networks(host)["blue"] == {"name": "blue", "subnet": subnet, "gateway": gateways[0], "subnet6": subnet6,
                                      "gateway6": gateways[1], "mtu": None, "isolate": True, "mode": "nat",
                                      "masquerade": "on", "masquerade6": "on",
                                      "filtering": "address-and-port-dependent", "endpoints": 0}
    ns = host.add("a", "--network", "blue")
    assert networks(host)["blue"]["endpoints"] == 1
    info = ns.info
    assert (info["network"], info["addresses"], info["gateway"], info["gateway6"]) == ("blue", first, *gateways)
    for address in (*gateways, *(family.far for family in FAMILIES.values())):
        assert ns.ping(address).returncode == 0
    for address in first:
        assert host.ping(address).returncode == 0


@pytest.mark.families("both")
def test_gateways_of_ones_own(host):
    host.nsbpf("network", "add", "blue", "--subnet", "172.20.0.0/24", "--subnet6", "fd00:1:2:3::/64", "--gateway",
               "172.20.0.254,fd00:1:2:3:ffff:ffff:ffff:ffff")
    a = host.add("a", "--network", "blue")
    for family, gateway in ((Family4, "172.20.0.254"), (Family6, "fd00:1:2:3:ffff:ffff:ffff:ffff")):
        assert networks(host)["blue"]["gateway6" if family is Family6 else "gateway"] == gateway
        assert a.ip_json(f"-{family.number}", "route", "show", "default")[0]["gateway"] == gateway
        assert a.ping(gateway).returncode == 0
        assert a.ping(family.far).returncode == 0
    host.nsbpf("network", "add", "red", "--subnet6", "fd00:1:2:4::/64", "--gateway", "fd00:1:2:4::fe")
    assert networks(host)["red"]["gateway6"] == "fd00:1:2:4::fe"
    assert host.add("b", "--network", "red").address6 == "fd00:1:2:4::2"


def test_two_networks_beside_the_default_one(host):
    host.nsbpf("network", "add", "blue", "--subnet", "172.20.0.0/24")
    host.nsbpf("network", "add", "red", "--subnet", "172.20.1.0/24")
    for short, more in (("a", ()), ("b", ("--network", "blue")), ("r", ("--network", "red"))):
        assert host.add(short, *more).ping(OUTSIDE_FAR).returncode == 0
    assert {name: entry["endpoints"] for name, entry in networks(host).items()} == {"default": 1, "blue": 1, "red": 1}
    assert {entry["network"] for entry in host.json("list")} == {"default", "blue", "red"}


def test_mtu_of_a_network(host):
    host.nsbpf("network", "add", "blue", "--subnet", "172.20.0.0/24", "--mtu", "1300")
    assert networks(host)["blue"]["mtu"] == 1300
    ns = host.add("a", "--network", "blue")
    assert ns.link("eth0")["mtu"] == 1300 and ns.info["mtu"] == 1300


def test_set(host):
    host.nsbpf("network", "add", "blue", "--subnet", "172.20.0.0/24")
    host.nsbpf("network", "set", "blue", "--isolate", "off")
    assert networks(host)["blue"]["isolate"] is False
    assert host.nsbpf("network", "set", "blue", "--isolate", "off").stdout == "unchanged\n"
    host.nsbpf("network", "set", "blue", "--mtu", "1280", "--isolate", "on")
    assert (networks(host)["blue"]["mtu"], networks(host)["blue"]["isolate"]) == (1280, True)
    host.nsbpf("network", "set", "blue", "--mtu", "auto")
    assert networks(host)["blue"]["mtu"] is None
    refused(host, 3, "network", "set", "green", "--isolate", "off", names=["green"])


def test_filtering(host):
    host.nsbpf("network", "add", "blue", "--subnet", "172.20.0.0/24", "--filtering", "endpoint-independent")
    host.nsbpf("network", "add", "red", "--subnet", "172.20.1.0/24", "--filtering", "address-and-port-dependent")
    shown = {name: entry["filtering"] for name, entry in networks(host).items()}
    assert shown == {"blue": "endpoint-independent", "red": "address-and-port-dependent"}
    same = ("network", "add", "blue", "--filtering", "endpoint-independent")
    assert host.nsbpf(*same).stdout == "unchanged\n"
    refused(host, 4, *same[:-1], "address-and-port-dependent", names=["blue"])
    host.nsbpf("network", "set", "blue", "--filtering", "address-and-port-dependent")
    assert networks(host)["blue"]["filtering"] == "address-and-port-dependent"
    assert host.nsbpf("network", "set", "blue", "--filtering", "address-and-port-dependent").stdout == "unchanged\n"
    host.nsbpf("network", "set", "blue", "--filtering", "endpoint-independent", "--isolate", "off")
    assert (networks(host)["blue"]["filtering"], networks(host)["blue"]["isolate"]) == ("endpoint-independent", False)


@pytest.mark.families("both")
def test_masquerade_of_either_family(host):
    """What is said is all: a family that is not named is masqueraded as the route has it."""
    host.ip_batch(f"address add {SECOND_ADDRESS}/24 dev up0", f"address add {Family6.second}/64 dev up0 nodad")
    host.nsbpf("network", "add", "blue", "--masquerade", f"{SECOND_ADDRESS},{Family6.second}")
    for value, shown in ((f"{SECOND_ADDRESS},{Family6.second}", (SECOND_ADDRESS, Family6.second)),
                         (Family6.second, ("on", Family6.second)),
                         (SECOND_ADDRESS, (SECOND_ADDRESS, "on")),
                         ("on", ("on", "on"))):
        host.nsbpf("network", "set", "blue", "--masquerade", value)
        assert (networks(host)["blue"]["masquerade"], networks(host)["blue"]["masquerade6"]) == shown
        assert host.nsbpf("network", "set", "blue", "--masquerade", value).stdout == "unchanged\n"
    refused(host, 3, "network", "set", "blue", "--masquerade", "2001:db8:1::77", names=["2001:db8:1::77"])
    a = host.add("a")
    for family in FAMILIES.values():
        refused(host, 1, "network", "set", "blue", "--masquerade", a.gateway_of(family), names=[a.gateway_of(family)])
    refused(host, 3, "network", "set", "blue", "--masquerade", f"{SECOND_ADDRESS},2001:db8:1::77",
            names=["2001:db8:1::77"])


@pytest.mark.families(4)
def test_masquerade(host):
    """One of the host's addresses, also one that it has got since nsbpf last looked."""
    host.ip("address", "add", f"{SECOND_ADDRESS}/24", "dev", "up0")
    host.nsbpf("network", "add", "blue", "--subnet", "172.20.0.0/24", "--masquerade", SECOND_ADDRESS)
    host.nsbpf("network", "add", "red", "--subnet", "172.20.1.0/24", "--masquerade", "on")
    shown = {name: entry["masquerade"] for name, entry in networks(host).items()}
    assert shown == {"blue": SECOND_ADDRESS, "red": "on"}
    assert host.nsbpf("network", "add", "blue", "--masquerade", SECOND_ADDRESS).stdout == "unchanged\n"
    refused(host, 4, "network", "add", "blue", "--masquerade", "on", names=["blue"])
    refused(host, 3, "network", "set", "red", "--masquerade", "198.51.100.77", names=["198.51.100.77"])
    refused(host, 3, "network", "set", "red", "--masquerade", "198.51.100.255", names=["198.51.100.255"])
    host.ip("address", "add", "198.51.100.77/32", "dev", "up0")
    host.nsbpf("network", "set", "red", "--masquerade", "198.51.100.77")
    assert networks(host)["red"]["masquerade"] == "198.51.100.77"
    assert host.nsbpf("network", "set", "red", "--masquerade", "198.51.100.77").stdout == "unchanged\n"
    host.nsbpf("network", "set", "red", "--masquerade", "on")
    assert networks(host)["red"]["masquerade"] == "on"


@pytest.mark.attach
def test_masquerade_on_the_wire(host, family):
    """What the outside sees, and that a connection keeps what it has."""
    host.ip("address", "add", f"{family.second}/{family.link_length}", "dev", "up0",
            *(["nodad"] if family is Family6 else []))
    a = host.add("a")
    host.outside.tcp_echo(7000, address=family.any)
    host.outside.udp_echo(7001, address=family.any)
    host.nsbpf("network", "set", "default", "--masquerade", family.host)
    old = a.tcp_session(family.far, 7000)
    assert old.ask()["peer"] == family.host
    host.nsbpf("network", "set", "default", "--masquerade", family.second)
    assert a.tcp(family.far, 7000)["peer"] == family.second
    assert a.udp(family.far, 7001)["peer"] == family.second
    assert a.ping(family.far).returncode == 0
    assert old.ask("still")["peer"] == family.host
    host.nsbpf("network", "set", "default", "--masquerade", family.host)
    assert a.tcp(family.far, 7000)["peer"] == family.host


@pytest.mark.attach
def test_filtering_on_the_wire(host, family):
    """A stranger gets to a NAT port in use if the network says so; when it does not any more, that is over."""
    a = host.add("a")
    stranger = family.servers[1]
    host.outside.ip("address", "add", f"{stranger}/{family.length}", "dev", "lo")
    host.outside.udp_echo(7001, address=family.any)
    talk = a.udp_session(family.far, 7001)
    port = talk.ask()["port"]
    arrivals = a.capture("eth0")

    def knock(word):
        """The stranger sends one datagram; then something that arrives in any case."""
        host.outside.udp(family.host, port, word, source=stranger, timeout=0.2)
        assert host.outside.ping(family.host).returncode == 0
        assert host.ping(a.address_of(family)).returncode == 0
        return bool(arrivals.matching(lambda packet: word.encode() in packet.frame))

    assert not knock("first")
    assert host.json()["drops"]["filtered"] == 1
    host.nsbpf("network", "set", "default", "--filtering", "endpoint-independent")
    assert knock("second")
    assert a.info["connections"] == 2
    host.nsbpf("network", "set", "default", "--filtering", "address-and-port-dependent")
    assert a.info["connections"] == 1
    assert not knock("third")
    assert host.json()["drops"]["filtered"] == 2


@pytest.mark.families("both")
def test_the_same_again_is_unchanged(host):
    command = ("network", "add", "blue", "--subnet", "172.20.0.0/24")
    host.nsbpf(*command)
    assert host.nsbpf(*command).stdout == "unchanged\n"
    assert host.nsbpf(*command, "--gateway", "172.20.0.1").stdout == "unchanged\n"
    assert host.nsbpf(*command, "--mode", "nat").stdout == "unchanged\n"
    subnet6 = networks(host)["blue"]["subnet6"]
    assert host.nsbpf(*command, "--subnet6", subnet6).stdout == "unchanged\n"
    refused(host, 4, "network", "add", "blue", "--subnet", "172.21.0.0/24", names=["blue"])
    refused(host, 4, "network", "add", "blue", "--subnet6", "2001:db8:5::/64", names=["blue"])
    refused(host, 4, *command, "--gateway", "172.20.0.9", names=["blue"])
    refused(host, 4, *command, "--subnet6", subnet6, "--gateway", subnet6.replace("/64", "9"), names=["blue"])
    refused(host, 4, *command, "--mode", "routed", names=["blue"])


def test_del(host):
    before = snapshot.take(host)
    host.nsbpf("network", "add", "red", "--subnet", "172.20.1.0/24")
    kept = snapshot.take(host)
    host.nsbpf("network", "add", "blue", "--subnet", "172.20.0.0/24")
    host.add("a", "--network", "blue")
    refused(host, 4, "network", "del", "blue", names=["blue"])
    host.nsbpf("del", host.name("a"))
    host.nsbpf("network", "del", "blue")
    assert list(networks(host)) == ["red"]
    assert snapshot.difference(kept, snapshot.take(host), "pins") == []
    assert host.nsbpf("network", "del", "blue").stdout == "unchanged\n"
    host.nsbpf("down")
    assert snapshot.difference(before, snapshot.take(host)) == []


@pytest.mark.parametrize("subnet", ["172.20.0.0/24", "172.20.0.128/25", "172.16.0.0/12", "172.20.0.5/32"])
@pytest.mark.families(4)
def test_subnets_may_not_overlap(host, subnet):
    host.nsbpf("network", "add", "blue", "--subnet", "172.20.0.0/24")
    code = 1 if subnet.endswith("/32") else 4  # a /32 has no room for a gateway and an endpoint
    refused(host, code, "network", "add", "red", "--subnet", subnet)


@pytest.mark.parametrize("subnet", ["2001:db8:5::/64", "2001:db8:5::/80", "2001:db8:5::/48", "2001:db8:5::9/128"])
@pytest.mark.families(6)
def test_ipv6_subnets_may_not_overlap(host, subnet):
    host.nsbpf("network", "add", "blue", "--subnet6", "2001:db8:5::/64")
    refused(host, 1 if subnet.endswith("/128") else 4, "network", "add", "red", "--subnet6", subnet)


@pytest.mark.families(6)
def test_ipv6_subnets_may_not_overlap_a_route_of_the_host(host):
    host.ip("route", "add", "2001:db8:30:5::/64", "via", OUTSIDE_LINK_LOCAL, "dev", "up0")
    for subnet in ("2001:db8:30::/48", "2001:db8:30:5::/80"):
        refused(host, 4, "network", "add", "blue", "--subnet6", subnet, names=["2001:db8:30:5::/64"])
    for subnet in ("2001:db8:1::/64", "2001:db8:1::/80"):
        refused(host, 4, "network", "add", "blue", "--subnet6", subnet, names=["2001:db8:1::/64"])


@pytest.mark.families(4)
def test_subnets_may_not_overlap_a_route_of_the_host(host):
    host.ip("route", "add", "172.30.5.0/24", "via", OUTSIDE_ADDRESS)
    refused(host, 4, "network", "add", "blue", "--subnet", "172.30.0.0/16", names=["172.30.5.0/24"])
    refused(host, 4, "network", "add", "blue", "--subnet", "172.30.5.128/25", names=["172.30.5.0/24"])
    refused(host, 4, "network", "add", "blue", "--subnet", "198.51.100.0/25", names=["198.51.100"])
    refused(host, 4, "network", "add", "blue", "--subnet", "198.51.0.0/16", names=["198.51.100"])


@pytest.mark.parametrize("options, code", [
    (("--subnet", "172.20.0.1/24"), 1),   # host bits
    (("--subnet", "172.20.0.0/33"), 1),
    (("--subnet", "172.20.0.0/0"), 1),
    (("--subnet", "172.20.0.0/31"), 1),   # no room
    (("--subnet", "172.20.0.0"), 1),
    (("--subnet", "172.20.0/24"), 1),
    (("--subnet", "127.0.0.0/24"), 1),
    (("--subnet", "224.0.0.0/24"), 1),
    (("--subnet", "0.0.0.0/8"), 1),
    (("--subnet", "nonsense"), 1),
    (("--subnet", ""), 1),
    (("--subnet", "172.20.0.0/24", "--gateway", "172.20.1.1"), 1),
    (("--subnet", "172.20.0.0/24", "--gateway", "172.20.0.0"), 1),
    (("--subnet", "172.20.0.0/24", "--gateway", "172.20.0.255"), 1),
    (("--subnet", "172.20.0.0/24", "--gateway", "x"), 1),
    (("--subnet", "172.20.0.0/24", "--mtu", "67"), 1),
    (("--subnet", "172.20.0.0/24", "--mtu", "65536"), 1),
    (("--subnet", "172.20.0.0/24", "--mtu", "1500x"), 1),
    (("--subnet", "172.20.0.0/24", "--isolate", "maybe"), 1),
    (("--subnet", "172.20.0.0/24", "--filtering", "off"), 1),
    (("--subnet", "172.20.0.0/24", "--filtering", "address-dependent"), 1),
    (("--subnet", "172.20.0.0/24", "--masquerade", "off"), 1),
    (("--subnet", "172.20.0.0/24", "--masquerade", ""), 1),
    (("--subnet", "172.20.0.0/24", "--masquerade", "2001:db8::1"), 3),
    (("--subnet", "172.20.0.0/24", "--masquerade", f"{HOST_ADDRESS},2001:db8::1"), 3),
    (("--subnet", "172.20.0.0/24", "--masquerade", f"{HOST_ADDRESS},{HOST_ADDRESS}"), 1),
    (("--subnet", "172.20.0.0/24", "--masquerade", f"{HOST_ADDRESS},off"), 1),
    (("--subnet", "172.20.0.0/24", "--masquerade", "127.0.0.1"), 1),
    (("--subnet", "172.20.0.0/24", "--masquerade", "::1"), 1),
    (("--subnet", "172.20.0.0/24", "--masquerade", "::"), 1),
    (("--subnet", "172.20.0.0/24", "--masquerade", "fe80::1"), 1),
    (("--subnet", "172.20.0.0/24", "--masquerade", "203.0.113.77"), 3),
    (("--subnet", "172.20.0.0/24", "--masquerade", "0.0.0.0"), 3),
    (("--subnet", "172.20.0.0/24", "--mode", "bridge"), 1),
    (("--subnet", "2001:db8:5::/64"), 1),
    (("--subnet6", "172.20.0.0/24"), 1),
    (("--subnet6", "2001:db8:5::"), 1),
    (("--subnet6", "2001:db8:5::1/64"), 1),   # host bits
    (("--subnet6", "2001:db8:5::/127"), 1),   # no room
    (("--subnet6", "2001:db8::/47"), 1),
    (("--subnet6", "2001:db8:5::/129"), 1),
    (("--subnet6", "::/64"), 1),
    (("--subnet6", "::ffff:172.20.0.0/120"), 1),
    (("--subnet6", "fe80::/64"), 1),
    (("--subnet6", "febf:ffff:ffff::/48"), 1),
    (("--subnet6", "ff05::/64"), 1),
    (("--subnet6", "nonsense"), 1),
    (("--subnet6", ""), 1),
    (("--subnet6", "2001:db8:5::/64", "--gateway", "2001:db8:5::"), 1),
    (("--subnet6", "2001:db8:5::/64", "--gateway", "2001:db8:6::1"), 1),
    (("--subnet6", "2001:db8:5::/64", "--gateway", "172.20.0.1"), 1),   # --subnet is nsbpf's to choose
    (("--subnet", "172.20.0.0/24", "--gateway", "2001:db8:5::1"), 1),
    (("--mode", "routed"), 1),
    (("--mode", "routed", "--masquerade", "on"), 1),
    (("--mode", "nat", "--masquerade", "off"), 1),
    (("--mode", "routed", "--subnet", "172.20.0.0/24", "--masquerade", HOST_ADDRESS), 1),
    (("--mode", "routed", "--subnet6", "2001:db8:5::/64", "--masquerade", HOST_ADDRESS6), 1),
])
@pytest.mark.families("both")
def test_bad_networks(host, options, code):
    refused(host, code, "network", "add", "blue", *options)


@pytest.mark.parametrize("options, masquerade", [
    (("--subnet", "172.20.0.0/24"), ("off", "on")),
    (("--subnet6", "2001:db8:5::/64"), ("on", "off")),
    (("--subnet", "172.20.0.0/24", "--subnet6", "2001:db8:5::/64"), ("off", "off")),
    (("--subnet", "172.20.0.0/24", "--masquerade", HOST_ADDRESS6), ("off", HOST_ADDRESS6)),
    (("--subnet6", "2001:db8:5::/64", "--masquerade", HOST_ADDRESS), (HOST_ADDRESS, "off")),
    (("--masquerade", "off"), ("off", "off")),
])
@pytest.mark.families("both")
def test_routed_networks(host, options, masquerade):
    """The subnets that were given are routed, unless none at all is masqueraded."""
    command = ("network", "add", "blue", "--mode", "routed", *options)
    host.nsbpf(*command)
    blue = networks(host)["blue"]
    assert (blue["mode"], blue["masquerade"], blue["masquerade6"]) == ("routed", *masquerade)
    assert host.nsbpf(*command).stdout == "unchanged\n"
    refused(host, 1, "network", "set", "blue", "--masquerade", "off", names=["--mode routed"])
    refused(host, 1, "network", "set", "blue", "--mode", "nat")
    refused(host, 4, "network", "add", "blue", "--mode", "nat", names=["blue"])


@pytest.mark.attach
def test_routed_networks_on_the_wire(host, family):
    """The outside sees the endpoint's own address, and may begin; the other family is masqueraded as ever."""
    subnet = family.subnets[0]
    host.nsbpf("network", "add", "blue", "--mode", "routed", family.subnet_option, subnet)
    a = host.add("a", "--network", "blue")
    address = a.address_of(family)
    assert ipaddress.ip_address(address) in ipaddress.ip_network(subnet)
    host.outside.ip("route", "add", subnet, "via", family.host)
    for each in FAMILIES.values():
        server = host.outside.tcp_echo(address=each.any)
        assert a.tcp(each.far, server.port)["peer"] == (address if each is family else each.host)
    server = a.tcp_echo(5000, address=family.any)
    assert host.outside.tcp(address, 5000)["peer"] == family.outside
    host.nsbpf("expose", a.name, "5001:5000")
    assert host.outside.tcp(family.host, 5001)["peer"] == family.outside


@pytest.mark.families(6)
def test_exhausted_ipv6_subnet(host):
    """Two endpoints fit, whatever there is room for in IPv4."""
    host.nsbpf("network", "add", "tiny", "--subnet6", "2001:db8:5::4/126")
    assert [host.add(short, "--network", "tiny").address6 for short in "ab"] == ["2001:db8:5::6", "2001:db8:5::7"]
    refused(host, 4, "add", host.name("c"), "--network", "tiny", names=["tiny", "2001:db8:5::4/126"])
    host.nsbpf("del", host.name("a"))
    assert host.add("c", "--network", "tiny").address6 == "2001:db8:5::6"


@pytest.mark.families(4)
def test_exhausted_subnet(host):
    host.nsbpf("network", "add", "tiny", "--subnet", "172.20.0.0/30")
    host.add("a", "--network", "tiny")
    refused(host, 4, "add", host.name("b"), "--network", "tiny", names=["tiny"])
    host.nsbpf("del", host.name("a"))
    assert host.add("b", "--network", "tiny").address == "172.20.0.2"


@pytest.mark.families(4)
def test_pitfall_cni_252_kubernetes_108121_addresses_come_back(host):
    """However an endpoint goes, and if `add` fails: in a network that has but one."""
    host.nsbpf("network", "add", "tiny", "--subnet", "172.20.0.0/30")
    foreign = host.machine("f")
    host.connect(foreign, "eth0", host.outside, "other0")
    for by_hand in (None, "namespace", "device"):
        a = host.add("a", "--network", "tiny")
        assert a.address == "172.20.0.2", by_hand
        refused(host, 4, "add", host.name("b"), "--network", "tiny", names=["tiny"])
        if by_hand == "namespace":
            run("ip", "netns", "del", a.name)
        elif by_hand == "device":
            host.ip("link", "del", a.device)
        host.nsbpf("del", a.name)
        refused(host, 4, "add", foreign.netns, "--network", "tiny", names=["eth0"])
    assert host.add("b", "--network", "tiny").address == "172.20.0.2"


@pytest.mark.families(4)
def test_exhausted_larger_subnet(host):
    """A /29 with the gateway in its middle: five endpoints, each address once."""
    host.nsbpf("network", "add", "small", "--subnet", "172.20.0.8/29", "--gateway", "172.20.0.12")
    given = [host.add(f"n{number}", "--network", "small").address for number in range(5)]
    assert given == ["172.20.0.9", "172.20.0.10", "172.20.0.11", "172.20.0.13", "172.20.0.14"]
    refused(host, 4, "add", host.name("z"), "--network", "small", names=["small"])


def test_unknown_network(host):
    host.add("a")
    refused(host, 3, "add", host.name("b"), "--network", "nowhere", names=["nowhere"])


@pytest.mark.families(4)
def test_addresses_that_an_endpoint_can_not_have(host):
    ns = host.add("a")
    refused(host, 4, "add", host.name("b"), "--ip", ns.address, names=[ns.address, ns.name])
    refused(host, 4, "add", host.name("b"), "--ip", "10.80.0.1", names=["10.80.0.1"])
    for address in ("10.80.0.0", "10.80.255.255", "10.81.0.5", HOST_ADDRESS, "127.0.0.1"):
        refused(host, 1, "add", host.name("b"), "--ip", address, names=[address])


@pytest.mark.families(6)
def test_ipv6_addresses_that_an_endpoint_can_not_have(host):
    host.nsbpf("network", "add", "blue", "--subnet6", "2001:db8:5::/64")
    ns = host.add("a", "--network", "blue")
    to_blue = ("add", host.name("b"), "--network", "blue", "--ip")
    refused(host, 4, *to_blue, ns.address6, names=[ns.address6, ns.name])
    refused(host, 4, *to_blue, "2001:db8:5::1", names=["2001:db8:5::1"])
    for address in ("2001:db8:5::", "2001:db8:5:1::5", HOST_ADDRESS6, "::1", "fe80::5", "ff02::1"):
        refused(host, 1, *to_blue, address, names=[address])
    for text in ("::", "2001:db8:5::5,2001:db8:5::6", "10.80.0.5,10.80.0.6", "2001:db8:5::5,", "2001:db8:5::5/64"):
        refused(host, 1, *to_blue, text)


@pytest.mark.families("both")
def test_addresses_of_both_families_asked_for(host):
    """Each alone, or both: the other one is what is free, with the same number if that can be."""
    host.nsbpf("network", "add", "blue", "--subnet", "172.20.0.0/24", "--subnet6", "2001:db8:5::/64")
    given = {}
    for short, ip in (("a", "172.20.0.7,2001:db8:5::9"), ("b", "2001:db8:5::2"), ("c", "172.20.0.9"), ("d", None),
                      ("e", "2001:db8:5:0:ffff:ffff:ffff:ffff,172.20.0.77")):
        endpoint = host.add(short, "--network", "blue", *(["--ip", ip] if ip else []))
        given[short] = endpoint.info["addresses"]
        assert all(endpoint.ping(family.far).returncode == 0 for family in FAMILIES.values())
        if ip:
            assert host.nsbpf("add", endpoint.name, "--ip", ip).stdout == "unchanged\n"
    assert given == {"a": ["172.20.0.7", "2001:db8:5::9"],
                     "b": ["172.20.0.2", "2001:db8:5::2"],
                     "c": ["172.20.0.9", "2001:db8:5::3"],  # ::9 is a's
                     "d": ["172.20.0.3", "2001:db8:5::4"],
                     "e": ["172.20.0.77", "2001:db8:5:0:ffff:ffff:ffff:ffff"]}
    refused(host, 4, "add", host.name("a"), "--ip", "2001:db8:5::10", names=[host.name("a")])


@pytest.mark.families("both")
def test_an_endpoint_made_anew_has_its_addresses_again(host):
    """Both of them, though others are free by then; unless it was said otherwise."""
    for short in "abc":
        host.add(short)
    before = host.endpoint("c").info["addresses"]
    host.nsbpf("del", host.name("b"))
    run("ip", "netns", "del", host.name("c"))
    assert host.add("c").info["addresses"] == before
    run("ip", "netns", "del", host.name("c"))
    assert host.add("c", "--ip", "10.80.0.99").info["addresses"] == ["10.80.0.99", before[1]]


def test_an_address_asked_for_is_out_of_the_pool(host):
    host.add("a", "--ip", "10.80.0.2")
    assert host.add("b").address == "10.80.0.3"


@pytest.mark.families("both")
def test_subnet_of_nsbpf_s_choice(host):
    """Without --subnet a network gets the first /16 that is free, as `default` does."""
    host.add("a")
    host.nsbpf("network", "add", "blue")
    assert networks(host)["blue"]["subnet"] == "10.81.0.0/16"
    b = host.add("b", "--network", "blue")
    for family in FAMILIES.values():
        assert b.ping(family.far).returncode == 0
