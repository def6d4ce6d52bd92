# SPDX-License-Identifier: GPL-2.0-only
"""Faults as they happen, and an operator who has nothing but `doctor`, `why` and `monitor --drops` to find out.

One host for all. Each test stages one fault, sees that a real packet is stopped by it, asks the three commands, does
what they advise where that is a command, and sees that the fault is gone.
"""
import contextlib
import json
import os
import re

import pytest
from listening import listen
from topology import HOST_ADDRESS, HOST_ADDRESS6, OUTSIDE_ADDRESS, OUTSIDE_FAR, OUTSIDE_LINK_LOCAL, Host, wait_for

CLOSED = 9  # a port that nobody serves

SEND = """
import socket, sys
source, sport, address, port, size = sys.argv[1:]
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.setsockopt(socket.IPPROTO_IP, 10, 3)  # IP_MTU_DISCOVER, IP_PMTUDISC_PROBE: DF, and as large as it is
    s.bind((source, int(sport)))
    s.sendto(bytes(int(size)), (address, int(port)))
"""


@pytest.fixture(scope="module")
def host():
    with Host() as host:
        host.nsbpf("set", "connections", 8192)
        host.nsbpf("network", "add", "lab", "--subnet", "192.0.2.0/24")
        host.a, host.b = host.add("a"), host.add("b")
        host.c = host.add("c", "--network", "lab", "--max-connections", "1")
        host.nsbpf("expose", host.b.name, "8080:80/udp", "--from", "203.0.113.0/24")
        host.nsbpf("expose", host.b.name, "8000:80")
        yield host


@pytest.fixture
def drops(host):
    """`nsbpf monitor --drops`, as it goes on while the fault lasts."""
    with listen(host, "monitor", "--drops") as listener:
        yield listener


def send(netns, address, port=CLOSED, source="0.0.0.0", source_port=40000, size=10):
    """One datagram, whatever comes of it: some senders are told by ICMP, or have no route."""
    netns.run("/usr/bin/python3", "-c", SEND, source, source_port, address, port, size, check=False)


def why(host, *words):
    return host.json("why", *words)


def refused(told, reason, *advice):
    """It names the reason, and what would change it."""
    assert (told["verdict"], told["reason"], told["ok"]) == ("dropped", reason, False)
    assert [each for each in advice if each not in told["advice"]] == []


def hindered(told, text, remedy):
    """The datapath would let it through, and something else is in its way."""
    found = {each["text"]: each["remedy"] for each in told["obstacles"]}
    texts = [each for each in found if re.search(text, each)]
    assert texts and not told["ok"], found
    assert re.search(remedy, found[texts[0]]), found


def is_well(told):
    assert told["ok"] and told["verdict"] == "forwarded", told


def diagnosed(host, subject, text):
    """A doctor's warning or problem, and the command that it has for it."""
    found = json.loads(host.nsbpf("doctor", "-j", check=False).stdout)["diagnoses"]
    fits = [each for each in found if each["level"] in ("warning", "problem") and
            re.search(subject, each["subject"]) and re.search(text, each["text"])]
    assert fits, [each for each in found if each["level"] in ("warning", "problem")]
    return fits[0]["fix"]


def commands(advice):
    """What stands in backquotes."""
    return re.findall(r"`(nsbpf [^`]+)`", advice)


@contextlib.contextmanager
def route(host, *words):
    host.ip("route", "add", *words)
    try:
        yield
    finally:
        host.ip("route", "del", *words)


def test_isolated_network(host, drops):
    send(host.a, host.c.address)
    assert drops.event(reason="isolated", endpoint=host.a.name)["packet"]["destination"] == host.c.address
    packet = "udp", host.a.address, f"{host.c.address}:{CLOSED}"
    told = why(host, *packet)
    refused(told, "isolated", "--isolate off", "nsbpf expose")
    for command in commands(told["advice"])[:2]:
        host.nsbpf(*command.split()[1:])
    assert why(host, *packet)["verdict"] == "forwarded"
    for network in ("default", "lab"):
        host.nsbpf("network", "set", network, "--isolate", "on")


def test_source_not_allowed(host, drops):
    """The same port from an address that --from names is fine."""
    send(host.outside, HOST_ADDRESS, 8080)
    drop = drops.event(reason="source", endpoint=host.b.name)
    assert (drop["packet"]["source"], drop["device"]) == (OUTSIDE_ADDRESS, "up0")
    told = why(host, "udp", f"{OUTSIDE_ADDRESS}:40000", f"{HOST_ADDRESS}:8080")
    refused(told, "source", "nsbpf ports", OUTSIDE_ADDRESS, f"nsbpf unexpose {host.b.name} 8080:80/udp")
    told = why(host, "udp", host.a.address, f"{HOST_ADDRESS}:8080")
    refused(told, "source", f"nsbpf unexpose {host.b.name} 8080:80/udp")
    told = why(host, "udp", OUTSIDE_FAR, f"{HOST_ADDRESS}:8080")
    assert (told["verdict"], told["becomes"]["destination"]) == ("forwarded", host.b.address)


def test_quota(host, drops):
    """Of one connection, which is answered and so gives way to no other."""
    with host.outside.udp_echo() as server, host.c.udp_session(OUTSIDE_FAR, server.port) as session:
        session.ask()
        send(host.c, OUTSIDE_FAR)
        drops.event(reason="quota", endpoint=host.c.name)
        refused(why(host, "udp", host.c.address, f"{OUTSIDE_FAR}:{CLOSED}"), "quota", "max-connections:",
                f"nsbpf conntrack list --endpoint {host.c.name}")
        host.nsbpf("conntrack", "flush")
    is_well(why(host, "udp", host.c.address, f"{OUTSIDE_FAR}:{CLOSED}"))


def test_spoofed_source(host, drops):
    """An address that somebody gave to a namespace by hand."""
    host.a.ping(host.a.info["gateway"])  # or the first thing to be refused is ARP in that name
    host.a.add_address("10.80.0.99/16", "eth0")
    send(host.a, OUTSIDE_FAR, source="10.80.0.99")
    assert drops.event(reason="spoofed-ip")["packet"]["source"] == "10.80.0.99"
    refused(why(host, "udp", "10.80.0.99", f"{OUTSIDE_FAR}:{CLOSED}", "--from", host.a.name), "spoofed-ip",
            f"nsbpf add {host.a.name} --ip 10.80.0.99")
    host.a.ip("address", "del", "10.80.0.99/16", "dev", "eth0")


@pytest.mark.parametrize("kind, reason, command", [
    ("unreachable", "unreachable", "ip route del unreachable"),
    ("prohibit", "prohibited", "ip route del prohibit"),
    ("blackhole", "blackhole", "ip route del blackhole"),
])
def test_route_that_refuses(host, drops, kind, reason, command):
    packet = "udp", host.a.address, f"192.88.99.1:{CLOSED}"
    with route(host, kind, "192.88.99.0/24"):
        send(host.a, "192.88.99.1")
        drops.event(reason=reason, endpoint=host.a.name)
        refused(why(host, *packet), reason, command)
    is_well(why(host, *packet))


def test_packet_too_large(host, drops):
    packet = "udp", host.a.address, f"{OUTSIDE_FAR}:{CLOSED}", "--size", "1228"
    with route(host, f"{OUTSIDE_FAR}/32", "via", OUTSIDE_ADDRESS, "mtu", "lock", "1000"):
        send(host.a, OUTSIDE_FAR, size=1200)
        assert drops.event(reason="too-big")["length"] == 14 + 1228
        told = why(host, *packet)
        refused(told, "too-big", "mtu:", "nsbpf apply")
        assert told["icmp_error"] == "fragmentation needed"
        assert "MTU 1000" in next(each["text"] for each in told["stages"] if each["stage"] == "route")
    is_well(why(host, *packet))


def test_no_default_route(host, drops):
    packet = "udp", host.a.address, f"192.88.99.1:{CLOSED}"
    host.ip("route", "del", "default")
    send(host.a, "192.88.99.1")
    drops.event(reason="no-route")
    told = why(host, *packet)
    refused(told, "no-route", "ip route add default")
    assert told["icmp_error"] == "network unreachable"
    diagnosed(host, "route", "default route")
    host.ip("route", "add", "default", "via", OUTSIDE_ADDRESS)
    is_well(why(host, *packet))


def test_device_that_is_no_uplink(host, drops):
    host.connect(host, "up1", host.machine("m"), "m0")
    host.add_address("192.88.99.2/24", "up1")
    packet = "udp", host.a.address, f"192.88.99.1:{CLOSED}"
    send(host.a, "192.88.99.1")
    drops.event(reason="not-uplink")
    told = why(host, *packet)
    refused(told, "not-uplink", "nsbpf uplink add up1")
    host.nsbpf(*commands(told["advice"])[0].split()[1:])
    assert why(host, *packet)["text"] == "forwarded out of up1"
    host.nsbpf("uplink", "del", "up1")
    host.ip("link", "del", "up1")


def test_nat_port_is_not_for_everybody(host, drops):
    """From outside to the port by which an endpoint talks to somebody else."""
    with host.outside.udp_echo() as server, host.a.udp_session(OUTSIDE_FAR, server.port) as session:
        port = session.ask()["port"]
        send(host.outside, HOST_ADDRESS, port, source_port=CLOSED)
        assert drops.event(reason="filtered", endpoint=host.a.name)["packet"]["destination_port"] == port
        told = why(host, "udp", f"{OUTSIDE_ADDRESS}:{CLOSED}", f"{HOST_ADDRESS}:{port}")
        refused(told, "filtered", f"nsbpf expose {host.a.name}", "--filtering endpoint-independent")
        inside = why(host, "udp", host.b.address, f"{HOST_ADDRESS}:{port}")
        refused(inside, "filtered", f"nsbpf expose {host.a.name}")
        is_answer = why(host, "udp", f"{OUTSIDE_FAR}:{server.port}", f"{HOST_ADDRESS}:{port}")
        assert (is_answer["verdict"], is_answer["reason"]) == ("forwarded", None)


def test_stranger(host, drops):
    """The host forwards, and somebody outside has a route to an endpoint's own address."""
    host.sysctl("net.ipv4.ip_forward", "1")
    host.outside.ip("route", "add", host.b.address, "via", HOST_ADDRESS)
    send(host.outside, host.b.address)
    assert drops.event(reason="unsolicited")["program"] == "to_endpoint"
    refused(why(host, "udp", OUTSIDE_ADDRESS, f"{host.b.address}:{CLOSED}"), "unsolicited", "nsbpf expose",
            "nsbpf network add NET --mode routed")
    host.outside.ip("route", "del", host.b.address)
    host.sysctl("net.ipv4.ip_forward", "0")
    host.nsbpf("check", "--repair")  # lo has lost its forwarding by that


def test_nobody_listens(host, drops):
    """The port is exposed, and the program inside is not running, or on another address."""
    packet = "tcp", OUTSIDE_ADDRESS, f"{HOST_ADDRESS}:8000"
    assert host.outside.tcp(HOST_ADDRESS, 8000)["error"] == "ECONNREFUSED"
    told = why(host, *packet)
    assert told["verdict"] == "forwarded"
    hindered(told, f"nobody on {host.b.name} listens on tcp port 80", f"nsbpf exec {host.b.name} -- ss -lnt")
    with host.b.tcp_echo(80, "127.0.0.1"):
        hindered(why(host, *packet), "open on another address only", "ss -lnt")
    with host.b.tcp_echo(80):
        is_well(why(host, *packet))
        assert "error" not in host.outside.tcp(HOST_ADDRESS, 8000)
    assert drops.lines == [{"event": "begin"}]  # no drop of the datapath's


def test_program_is_gone(host):
    """Somebody took from_endpoint off the veth."""
    os.unlink(f"{host.pin_directories()[0]}/links/{host.link(host.a.device)['ifindex']}-from_endpoint")
    wait_for(lambda: host.a.ping(OUTSIDE_FAR, timeout=0.3).returncode, what="the kernel has let the link go")
    packet = "icmp", host.a.address, OUTSIDE_FAR
    hindered(why(host, *packet), f"program from_endpoint on {host.a.device} .*missing", "nsbpf check --repair")
    assert diagnosed(host, f"endpoint {host.a.name}", "from_endpoint") == "nsbpf check --repair"
    host.nsbpf("check", "--repair")
    is_well(why(host, *packet))
    assert not host.a.ping(OUTSIDE_FAR).returncode


def test_device_inside_is_down(host):
    packet = "icmp", host.a.address, host.b.address
    host.b.ip("link", "set", "eth0", "down")
    assert host.a.ping(host.b.address, timeout=0.3).returncode
    hindered(why(host, *packet), f"endpoint {host.b.name}: device eth0.* down", "nsbpf check --repair")
    diagnosed(host, f"endpoint {host.b.name}", "eth0")
    host.nsbpf("check", "--repair")
    is_well(why(host, *packet))


def test_next_hop_does_not_answer(host):
    packet = "icmp", host.a.address, "192.88.99.1"
    host.ip("neighbour", "replace", "198.51.100.77", "dev", "up0", "lladdr", "02:00:00:00:00:77", "nud", "failed")
    with route(host, "192.88.99.0/24", "via", "198.51.100.77"):
        hindered(why(host, *packet), "198.51.100.77 does not answer on up0", "ip neighbour show dev up0")


def test_firewall_of_the_host(host):
    """What the host's own INPUT chain drops does not come as far as its sockets."""
    rules = "add table inet mine; add chain inet mine input { type filter hook input priority 0; policy drop; }"
    packet = "udp", host.a.address, f"10.80.0.1:{CLOSED}"
    with host.udp_echo(CLOSED):
        host.run("nft", rules)
        assert host.a.udp("10.80.0.1", CLOSED, timeout=0.3)["error"]
        hindered(why(host, *packet), "chain input of nft table mine, 0 rules, policy drop", "nft list ruleset")
        diagnosed(host, "firewall", "policy drop")
        host.run("nft", "delete", "table", "inet", "mine")
        assert why(host, *packet)["ok"]


def test_uplink_is_down(host, drops):
    """Last: with it go its routes and IPv6 addresses."""
    packet = "udp", host.a.address, f"{OUTSIDE_FAR}:{CLOSED}"
    host.outside.ip("link", "set", "wan0", "down")
    wait_for(lambda: "LOWER_UP" not in host.link("up0")["flags"])
    hindered(why(host, *packet), "uplink up0 has no carrier", "other end of up0")
    diagnosed(host, "uplink up0", "carrier")
    host.ip("link", "set", "up0", "down")
    send(host.a, OUTSIDE_FAR)
    drops.event(reason="no-route")
    told = why(host, *packet)
    refused(told, "no-route", "ip route")
    hindered(told, "uplink up0 is down", "ip link set up0 up")
    assert diagnosed(host, "uplink up0", "down") == "ip link set up0 up"
    host.outside.ip("link", "set", "wan0", "up")
    host.ip_batch("link set up0 up", f"route add default via {OUTSIDE_ADDRESS}",
                  f"address add {HOST_ADDRESS6}/64 dev up0 nodad", "address add fe80::1/64 dev up0 nodad",
                  f"route add default via {OUTSIDE_LINK_LOCAL} dev up0")
    is_well(why(host, *packet))
