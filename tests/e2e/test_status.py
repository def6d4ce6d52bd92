# SPDX-License-Identifier: GPL-2.0-only
"""What nsbpf says about what runs: the bare command, list, ports, network list, uplink list; as text and as JSON."""
import os
import re
import struct

import maps
import pytest
from families import FAMILIES
from topology import HOST_ADDRESS, HOST_ADDRESS6, OUTSIDE_FAR, TOP, run, wait_for

ENDPOINT = {"name": str, "network": str, "addresses": list, "gateway": str, "gateway6": (str, type(None)),
            "mac": str, "device": str, "mtu": int, "state": str, "adopted": bool, "connections": int, "max_connections": (int, type(None)), "nat_ports": int,
            "rx_packets": int, "rx_bytes": int, "tx_packets": int, "tx_bytes": int, "drops": int}
PORT = {"endpoint": str, "protocol": str, "address": str, "first": int, "last": int, "target": int, "sources": list}
NETWORK = {"name": str, "subnet": str, "gateway": str, "subnet6": str, "gateway6": str, "mtu": (int, type(None)),
           "isolate": bool, "mode": str, "masquerade": str, "masquerade6": str, "filtering": str, "endpoints": int}
UPLINK = {"name": str, "ifindex": int, "address": (str, type(None)), "address6": (str, type(None)), "named": bool,
          "attach": str}
STATUS = {"host": dict, "uplinks": list, "networks": list, "endpoints": list, "ports": list, "connections": dict,
          "drops": dict}
CONNECTIONS = {"count": int, "max": int, "nat_ports": int, "gave_way": int, "overlaps": int}
HOST = {"netns_cookie": str, "running": bool, "attach": str}


def check(schema, found):
    """Exactly these keys with these types. (bool is an int to Python, not to a reader of JSON.)"""
    assert set(found) == set(schema)
    for key, kind in schema.items():
        assert isinstance(found[key], kind), f"{key}: {found[key]!r}"
        assert not (kind is int and isinstance(found[key], bool)), f"{key}: {found[key]!r}"


def drop_reasons():
    with open(os.path.join(TOP, "include", "nsbpf", "drops.h"), encoding="utf-8") as header:
        return re.findall(r'X\([A-Z_]+, "([a-z-]+)"', header.read())


@pytest.mark.attach
@pytest.mark.families("both")
def test_everything_as_json(host):
    host.nsbpf("network", "add", "blue", "--subnet", "172.20.0.0/24", "--mtu", "1400")
    a, b = host.add("a"), host.add("b", "--network", "blue")
    host.nsbpf("expose", a.name, "5000-5010:6000", "--from", "192.0.2.0/24", "--from", "198.51.100.2")
    host.nsbpf("expose", b.name, f"{HOST_ADDRESS}:53/both")

    status = host.json()
    check(STATUS, status)
    check(HOST, status["host"])
    assert status["host"] == {"netns_cookie": f"{host.cookie:016x}", "running": True, "attach": host.attach}
    for key, schema, command in (("endpoints", ENDPOINT, ["list"]), ("ports", PORT, ["ports"]),
                                 ("networks", NETWORK, ["network", "list"]), ("uplinks", UPLINK, ["uplink", "list"])):
        for entry in status[key]:
            check(schema, entry)
        listed = host.json(*command)
        for entry in listed:
            check(schema, entry)
        names = [[value for value in entry.values() if isinstance(value, str)] for entry in listed]
        assert names == [[value for value in entry.values() if isinstance(value, str)] for entry in status[key]]

    assert {entry["name"]: entry["network"] for entry in status["endpoints"]} == {a.name: "default", b.name: "blue"}
    assert status["ports"] == host.json("ports")
    key = lambda port: (port["endpoint"], port["protocol"])  # noqa: E731
    assert sorted(status["ports"], key=key) == [
        {"endpoint": a.name, "protocol": "tcp", "address": "any", "first": 5000, "last": 5010, "target": 6000,
         "sources": ["192.0.2.0/24", "198.51.100.2/32"]},
        {"endpoint": b.name, "protocol": "tcp", "address": HOST_ADDRESS, "first": 53, "last": 53, "target": 53,
         "sources": []},
        {"endpoint": b.name, "protocol": "udp", "address": HOST_ADDRESS, "first": 53, "last": 53, "target": 53,
         "sources": []}]
    assert status["uplinks"] == [{"name": "up0", "ifindex": host.link("up0")["ifindex"], "address": HOST_ADDRESS,
                                  "address6": HOST_ADDRESS6, "named": False, "attach": host.attach}]
    check(CONNECTIONS, status["connections"])
    assert status["connections"] == {"count": 0, "max": 65536, "nat_ports": 0, "gave_way": 0, "overlaps": 0}
    assert list(status["drops"]) == drop_reasons()
    assert all(isinstance(count, int) for count in status["drops"].values())


@pytest.mark.families("both")
def test_everything_as_text(host):
    host.nsbpf("network", "add", "blue", "--subnet", "172.20.0.0/24")
    a, b = host.add("a"), host.add("b", "--network", "blue")
    host.nsbpf("expose", a.name, "5000-5010")
    subnets6 = [network["subnet6"] for network in host.json("network", "list")]
    for command, words in (([], [a.name, b.name, "up0", "blue", "default", "10.80.0.2", a.address6, "5000", "5010",
                                 HOST_ADDRESS, HOST_ADDRESS6]),
                           (["list"], [a.name, b.name, f"10.80.0.2,{a.address6}", "172.20.0.2", "blue", "up"]),
                           (["ports"], [a.name, "5000", "5010", "tcp"]),
                           (["network", "list"], ["default", "blue", "10.80.0.0/16", "172.20.0.0/24", *subnets6]),
                           (["uplink", "list"], ["up0", HOST_ADDRESS, HOST_ADDRESS6])):
        done = host.nsbpf(*command)
        assert [word for word in words if word not in done.stdout] == [], done.stdout
        assert done.stderr == ""
        assert not re.search(r"[^\x20-\x7e\n]", done.stdout), "plain text, no control characters where no terminal is"


def test_nothing_runs(host):
    status = host.json()
    check(STATUS, status)
    check(CONNECTIONS, status["connections"])
    assert status["host"]["running"] is False
    assert [status[key] for key in ("uplinks", "networks", "endpoints", "ports")] == [[], [], [], []]
    assert host.nsbpf().stdout.strip()
    for command in (["list"], ["ports"], ["network", "list"], ["uplink", "list"]):
        assert host.json(*command) == []
        host.nsbpf(*command)
    assert host.pin_directories() == [], "looking makes nothing"


@pytest.mark.parametrize("option", ["-j", "--json"])
@pytest.mark.parametrize("where", ["before", "behind"])
def test_json_option_stands_anywhere(host, option, where):
    host.add("a")
    command = [option, "list"] if where == "before" else ["list", option]
    assert host.name("a") in host.nsbpf(*command).stdout
    assert host.nsbpf(*command).stdout.lstrip().startswith("[")


@pytest.mark.attach
def test_counters(host, family):
    a = host.add("a")
    a.sysctl("net.ipv6.conf.eth0.router_solicitations", 0)
    wait_for(lambda: "tentative" not in a.ip("-6", "address"), what="what a fresh device has to say is said")
    before = a.info
    a.ping(family.far, count=5)
    host.ping(a.address_of(family), count=3)

    def counted():
        now = a.info
        return {key: now[key] - before[key] for key in ("rx_packets", "tx_packets", "rx_bytes", "tx_bytes", "drops")}
    # ARP and neighbour discovery count as well, or not: at least the echoes, at most two exchanges more
    wait_for(lambda: counted()["tx_packets"] >= 8)
    count = counted()
    assert 8 <= count["rx_packets"] <= 12 and 8 <= count["tx_packets"] <= 12
    size = family.header_size + 8 + 56
    assert all(8 * size <= count[way] <= 12 * (size + 14) for way in ("rx_bytes", "tx_bytes"))
    assert count["drops"] == 0
    assert host.json()["drops"] == dict.fromkeys(drop_reasons(), 0)


@pytest.mark.attach
def test_connections_are_counted(host, family):
    """Of all and of each endpoint: as many as there are pairs in the table, however they ended."""
    a, b = host.add("a"), host.add("b")
    host.outside.tcp_echo(7000, address=family.any)
    host.outside.udp_echo(7001, address=family.any)
    b.tcp_echo(80, address=family.any)
    host.nsbpf("expose", b.name, "8080:80")

    def counted():
        originals = [deadline for block in maps.values(host, "deadlines") for deadline in block["words"] if deadline]
        of = {name: entry["connections"] for name, entry in host.endpoints().items()}
        return len(originals), host.json()["connections"]["count"], of.get(a.name), of.get(b.name)

    assert counted() == (0, 0, 0, 0)
    sessions = [a.tcp_session(family.far, 7000) for _ in range(3)] + [a.udp_session(family.far, 7001)]
    assert all("data" in session.ask() for session in sessions)
    assert counted() == (4, 4, 4, 0)
    assert "4 of 65536 connections" in host.nsbpf().stdout
    sessions += [host.outside.tcp_session(family.host, 8080), host.outside.tcp_session(family.host, 8080)]
    assert all("data" in session.ask() for session in sessions)
    assert counted() == (6, 6, 4, 2)
    host.nsbpf("unexpose", b.name, "8080:80")
    assert counted() == (4, 4, 4, 0)
    host.nsbpf("set", "timeout.udp", "1s")
    host.nsbpf("set", "timeout.tcp-closing", "1s")
    sessions[0].stop()
    assert a.udp(family.far, 7001)["data"] == "hello"
    wait_for(lambda: counted() == (2, 2, 2, 0), what="the closed one and the silent ones end")
    host.nsbpf("del", a.name)
    assert counted() == (0, 0, None, 0)
    assert host.json()["connections"]["nat_ports"] == 0


def test_pressure_is_shown(host):
    """Nothing of it while there is none; `gave_way` and `overlaps` are the datapath's to count."""
    host.add("a")
    assert "lack of room" not in host.nsbpf().stdout
    maps.write(host, "pressure", 0, struct.pack("=IIQQ6I", 0, 0, 7, 3, 0, 0, 0, 0, 0, 0))
    assert "lack of room: 7 connections gave way, 3 had to share a NAT port\n" in host.nsbpf().stdout
    connections = host.json()["connections"]
    assert (connections["gave_way"], connections["overlaps"]) == (7, 3)


@pytest.mark.families("both")
def test_drops_are_counted_by_reason_and_endpoint(host):
    from scapy.all import UDP, Ether
    a = host.add("a")
    gateway = host.link(a.device)["address"]
    own, other = Ether(src=a.info["mac"], dst=gateway), Ether(src="02:00:5e:00:53:09", dst=gateway)
    strangers = ("10.80.9.9", a.info["gateway6"])
    spoofed = [family.ip(source, family.far) / UDP(sport=9, dport=9)
               for family, source in zip(FAMILIES.values(), strangers)]
    a.send("eth0", *[own / packet for packet in spoofed for _ in range(7)])
    assert wait_for(lambda: host.json()["drops"]["spoofed-ip"] == 14)
    assert a.info["drops"] == 14
    a.send("eth0", *[other / packet for packet in spoofed])
    assert wait_for(lambda: host.json()["drops"]["spoofed-mac"] == 2)
    assert "spoofed-ip" in host.nsbpf().stdout or "source address is not the endpoint's" in host.nsbpf().stdout


@pytest.mark.families("both")
def test_many_endpoints_are_listed_whole(host):
    for number in range(40):
        host.nsbpf("add", host.name(f"n{number}"))
    assert sorted(host.endpoints()) == sorted(host.name(f"n{number}") for number in range(40))
    assert len({address for entry in host.json("list") for address in entry["addresses"]}) == 80


def test_state_gone_in_both_listings(host):
    host.add("a")
    host.add("b")
    run("ip", "netns", "del", host.name("b"))
    assert sorted(entry["state"] for entry in host.json("list")) == ["gone", "up"]
    assert sorted(entry["state"] for entry in host.json()["endpoints"]) == ["gone", "up"]


def test_version_and_help(host):
    assert re.search(r"\d", host.nsbpf("version").stdout)
    whole = host.nsbpf("help").stdout
    for verb in ("add", "del", "list", "exec", "shell", "expose", "unexpose", "ports", "network", "uplink", "set", "get",
                 "down"):
        assert verb in whole
        assert verb in host.nsbpf("help", verb).stdout
