# SPDX-License-Identifier: GPL-2.0-only
"""network add, set, del, list: subnets of any size, gateways, and what collides with what."""
import pytest
import snapshot
from topology import HOST_ADDRESS, OUTSIDE_ADDRESS, OUTSIDE_FAR, run

SECOND_ADDRESS = "198.51.100.9"
STRANGER = "203.0.113.9"


def networks(host):
    return {entry["name"]: entry for entry in host.json("network", "list")}


def refused(host, code, *command, names=()):
    """The command fails with this exit code and one line that names what matters, and changes nothing."""
    before = snapshot.take(host)
    listed = host.json("network", "list"), host.json("list")
    done = host.nsbpf(*command, check=False)
    assert done.returncode == code, done
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("nsbpf: "), done.stderr
    for name in names:
        assert name in done.stderr
    assert (host.json("network", "list"), host.json("list")) == listed
    assert snapshot.difference(before, snapshot.take(host)) == []


@pytest.mark.attach
@pytest.mark.parametrize("subnet, gateway, first", [
    ("172.20.0.0/16", "172.20.0.1", "172.20.0.2"),
    ("172.21.7.0/24", "172.21.7.1", "172.21.7.2"),
    ("10.0.0.0/8", "10.0.0.1", "10.0.0.2"),
    ("192.168.9.64/28", "192.168.9.65", "192.168.9.66"),
    ("192.168.9.4/30", "192.168.9.5", "192.168.9.6"),
])
def test_subnets(host, subnet, gateway, first):
    host.nsbpf("network", "add", "blue", "--subnet", subnet)
    assert networks(host)["blue"] == {"name": "blue", "subnet": subnet, "gateway": gateway, "mtu": None,
                                      "isolate": True, "masquerade": "on", "filtering": "address-and-port-dependent",
                                      "endpoints": 0}
    ns = host.add("a", "--network", "blue")
    assert networks(host)["blue"]["endpoints"] == 1
    info = ns.info
    assert (info["network"], info["addresses"], info["gateway"]) == ("blue", [first], gateway)
    assert ns.ping(gateway).returncode == 0
    assert ns.ping(OUTSIDE_FAR).returncode == 0
    assert host.ping(first).returncode == 0


def test_gateway_of_ones_own(host):
    host.nsbpf("network", "add", "blue", "--subnet", "172.20.0.0/24", "--gateway", "172.20.0.254")
    a = host.add("a", "--network", "blue")
    assert networks(host)["blue"]["gateway"] == "172.20.0.254"
    assert a.ip_json("route", "show", "default")[0]["gateway"] == "172.20.0.254"
    assert a.ping("172.20.0.254").returncode == 0
    assert a.ping(OUTSIDE_FAR).returncode == 0


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
def test_masquerade_on_the_wire(host):
    """What the outside sees, and that a connection keeps what it has."""
    host.ip("address", "add", f"{SECOND_ADDRESS}/24", "dev", "up0")
    a = host.add("a")
    host.outside.tcp_echo(7000)
    host.outside.udp_echo(7001)
    old = a.tcp_session(OUTSIDE_FAR, 7000)
    assert old.ask()["peer"] == HOST_ADDRESS
    host.nsbpf("network", "set", "default", "--masquerade", SECOND_ADDRESS)
    assert a.tcp(OUTSIDE_FAR, 7000)["peer"] == SECOND_ADDRESS
    assert a.udp(OUTSIDE_FAR, 7001)["peer"] == SECOND_ADDRESS
    assert a.ping(OUTSIDE_FAR).returncode == 0
    assert old.ask("still")["peer"] == HOST_ADDRESS
    host.nsbpf("network", "set", "default", "--masquerade", "on")
    assert a.tcp(OUTSIDE_FAR, 7000)["peer"] == HOST_ADDRESS


@pytest.mark.attach
def test_filtering_on_the_wire(host):
    """A stranger gets to a NAT port in use if the network says so; when it does not any more, that is over."""
    a = host.add("a")
    host.outside.ip("address", "add", f"{STRANGER}/32", "dev", "lo")
    host.outside.udp_echo(7001)
    talk = a.udp_session(OUTSIDE_FAR, 7001)
    port = talk.ask()["port"]
    arrivals = a.capture("eth0")

    def knock(word):
        """The stranger sends one datagram; then something that arrives in any case."""
        host.outside.udp(HOST_ADDRESS, port, word, source=STRANGER, timeout=0.2)
        assert host.outside.ping(HOST_ADDRESS).returncode == 0
        assert host.ping(a.address).returncode == 0
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


def test_the_same_again_is_unchanged(host):
    command = ("network", "add", "blue", "--subnet", "172.20.0.0/24")
    host.nsbpf(*command)
    assert host.nsbpf(*command).stdout == "unchanged\n"
    assert host.nsbpf(*command, "--gateway", "172.20.0.1").stdout == "unchanged\n"
    refused(host, 4, "network", "add", "blue", "--subnet", "172.21.0.0/24", names=["blue"])
    refused(host, 4, *command, "--gateway", "172.20.0.9", names=["blue"])


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
def test_subnets_may_not_overlap(host, subnet):
    host.nsbpf("network", "add", "blue", "--subnet", "172.20.0.0/24")
    code = 1 if subnet.endswith("/32") else 4  # a /32 has no room for a gateway and an endpoint
    refused(host, code, "network", "add", "red", "--subnet", subnet)


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
    (("--subnet", "172.20.0.0/24", "--masquerade", "2001:db8::1"), 1),
    (("--subnet", "172.20.0.0/24", "--masquerade", "127.0.0.1"), 1),
    (("--subnet", "172.20.0.0/24", "--masquerade", "203.0.113.77"), 3),
    (("--subnet", "172.20.0.0/24", "--masquerade", "0.0.0.0"), 3),
    (("--subnet", "172.20.0.0/24", "--mode", "nat"), 1),
])
def test_bad_networks(host, options, code):
    refused(host, code, "network", "add", "blue", *options)


def test_exhausted_subnet(host):
    host.nsbpf("network", "add", "tiny", "--subnet", "172.20.0.0/30")
    host.add("a", "--network", "tiny")
    refused(host, 4, "add", host.name("b"), "--network", "tiny", names=["tiny"])
    host.nsbpf("del", host.name("a"))
    assert host.add("b", "--network", "tiny").address == "172.20.0.2"


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


def test_exhausted_larger_subnet(host):
    """A /29 with the gateway in its middle: five endpoints, each address once."""
    host.nsbpf("network", "add", "small", "--subnet", "172.20.0.8/29", "--gateway", "172.20.0.12")
    given = [host.add(f"n{number}", "--network", "small").address for number in range(5)]
    assert given == ["172.20.0.9", "172.20.0.10", "172.20.0.11", "172.20.0.13", "172.20.0.14"]
    refused(host, 4, "add", host.name("z"), "--network", "small", names=["small"])


def test_unknown_network(host):
    host.add("a")
    refused(host, 3, "add", host.name("b"), "--network", "nowhere", names=["nowhere"])


def test_addresses_that_an_endpoint_can_not_have(host):
    ns = host.add("a")
    refused(host, 4, "add", host.name("b"), "--ip", ns.address, names=[ns.address, ns.name])
    refused(host, 4, "add", host.name("b"), "--ip", "10.80.0.1", names=["10.80.0.1"])
    for address in ("10.80.0.0", "10.80.255.255", "10.81.0.5", HOST_ADDRESS, "127.0.0.1"):
        refused(host, 1, "add", host.name("b"), "--ip", address, names=[address])


def test_an_address_asked_for_is_out_of_the_pool(host):
    host.add("a", "--ip", "10.80.0.2")
    assert host.add("b").address == "10.80.0.3"


def test_subnet_of_nsbpf_s_choice(host):
    """Without --subnet a network gets the first /16 that is free, as `default` does."""
    host.add("a")
    host.nsbpf("network", "add", "blue")
    assert networks(host)["blue"]["subnet"] == "10.81.0.0/16"
    assert host.add("b", "--network", "blue").ping(OUTSIDE_FAR).returncode == 0
