# SPDX-License-Identifier: GPL-2.0-only
"""`set connections` while packets flow: the table grows, every connection goes on, and what is counted is right.

That all maps agree afterwards, and what becomes of a command that is killed, is in packets/test_growing.py.
"""
import pytest

import maps
import snapshot
from listening import listen
from topology import OUTSIDE_FAR
from wire import Traffic, mirror, swarm

SIZES = 16384, 65536, 131072
BULK = 32 << 20


def counted(host):
    return host.json()["connections"]["count"]


@pytest.mark.attach
def test_every_connection_goes_on(host, family):
    """Masqueraded ones, those to an exposed port from outside and from another endpoint, by TCP and UDP."""
    host.nsbpf("set", "connections", 8192)
    a, b = host.add("a"), host.add("b")
    host.nsbpf("expose", a.name, "80/both")
    swarms = []
    for proto in "tcp", "udp":
        mirror(a, proto, 80, family.any)
        far = mirror(host.outside, proto, 0, family.any)
        swarms += [swarm(a, "out", proto, family.far, far.port, 40),
                   swarm(host.outside, "in", proto, family.host, 80, 40),
                   swarm(b, "hairpin", proto, family.host, 80, 40)]
    assert not any(agent.first["wrong"] for agent in swarms)
    before = counted(host), host.json()["connections"]["nat_ports"]
    assert before[0] == 240
    for size in SIZES:
        for agent in swarms:
            agent.start_turn()
        assert host.nsbpf("set", "connections", size).stdout == ""
        assert [agent.end_turn() for agent in swarms] == [[]] * len(swarms)
        assert (counted(host), host.json()["connections"]["nat_ports"]) == before
        assert maps.size(host, "connections") == host.json()["connections"]["max"] == size
        swarms += [swarm(b, "new", proto, family.host, 80, 1) for proto in ("tcp", "udp")]
        assert [agent.first["wrong"] for agent in swarms[-2:]] == [[], []], "and others begin"
        before = counted(host), host.json()["connections"]["nat_ports"]
    for agent in swarms:
        agent.start_turn()
    assert [agent.end_turn() for agent in swarms] == [[]] * len(swarms)
    host.nsbpf("down")
    assert host.pin_directories() == []


@pytest.mark.attach
def test_bulk(host):
    """A transfer both ways is whole, and its connection has counted what its endpoint has."""
    a = host.add("a")
    host.outside.run("tc", "qdisc", "add", "dev", "wan0", "root", "tbf", "rate", "160mbit", "burst", "256k", "latency",
                     "50ms")
    with host.outside.agent(Traffic, "bulk-serve", "0.0.0.0", "0", str(BULK)) as serving:
        with a.agent(Traffic, "bulk", OUTSIDE_FAR, str(serving.port), str(BULK)) as sending:
            host.nsbpf("set", "connections", 131072)
            assert not sending.lines[1:], "it has not been over before the table grew"
            here, there = sending.next(60), serving.next(60)
    assert (here["received"], there["received"]) == (there["sent"], here["sent"])
    original, reply = (maps.entry(host, "traffic", index) for index in (0, 131072))
    info = a.info
    for direction, sent in (original, "tx"), (reply, "rx"):
        assert direction["packets"] == info[f"{sent}_packets"]
        assert direction["bytes"] >= BULK


def test_who_listens_hears_on(host):
    """Events of the larger table's programs come to a monitor that began before."""
    a = host.add("a")
    host.outside.udp_echo(7000)
    with listen(host, "monitor") as listener:
        for size in SIZES[-2:]:
            host.nsbpf("set", "connections", size)
            port = a.udp(OUTSIDE_FAR, 7000)["client"]["local_port"]
            listener.wait(lambda line: line["event"] == "new" and line["connection"]["original"]["source_port"] == port)


def test_nothing_else_changes(host):
    """Settings, endpoints, ports and counters are the same maps."""
    host.add("a")
    host.nsbpf("expose", host.name("a"), "8080:80", "--from", "203.0.113.0/24")
    host.nsbpf("network", "add", "blue", "--subnet", "172.20.0.0/24")
    host.nsbpf("set", "timeout.udp", "10m")
    host.nsbpf("set", "nat-ports", "20000-29999")
    before = {key: part for key, part in host.json().items() if key != "connections"}
    objects = snapshot.bpf_objects(host)
    host.nsbpf("set", "connections", 131072)
    assert {key: part for key, part in host.json().items() if key != "connections"} == before
    assert host.json("get", "timeout.udp")["value"] == 600 and host.json("get", "nat-ports")["value"] == "20000-29999"
    assert len(host.pin_directories()) == 1
    assert snapshot.still_loaded(objects - snapshot.bpf_objects(host)) == set(), "nothing of the old table is left"
    assert host.json("set", "connections", 131072) == {"changed": False, "warning": None}
    assert host.json("check")["findings"] == []


def test_devices_that_are_gone(host):
    """Somebody has removed a host veth, and taken the program off another: the rest grows, and has its program."""
    a, b, gone = host.add("a"), host.add("b"), host.add("gone")
    host.ip("link", "del", gone.device)
    host.run("sh", "-c", f"rm {host.pin_directories()[0]}/links/*-from_endpoint")
    host.outside.udp_echo(7000)
    assert host.nsbpf("set", "connections", 131072).stdout == ""
    assert [end.udp(OUTSIDE_FAR, 7000)["peer"] for end in (a, b)] == ["198.51.100.1"] * 2


def test_what_is_missing(host):
    """A pin was removed: the command says so, and nothing has changed."""
    a = host.add("a")
    host.outside.udp_echo(7000)
    session = a.udp_session(OUTSIDE_FAR, 7000)
    session.ask("one")
    host.run("rm", f"{host.pin_directories()[0]}/maps/uplinks")
    before = snapshot.take(host)
    refused = host.nsbpf("set", "connections", 131072, check=False)
    assert refused.returncode == 2 and "maps/uplinks" in refused.stderr and len(refused.stderr.splitlines()) == 1
    assert snapshot.difference(before, snapshot.take(host)) == []
    assert session.ask("two")["data"] == "two"
