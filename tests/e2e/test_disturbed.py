# SPDX-License-Identifier: GPL-2.0-only
"""What others do to the host behind nsbpf's back: forwarding switched off, programs detached, qdiscs removed."""
import glob
import os
from ipaddress import ip_address

import pytest
from scapy.layers.inet import UDP
from scapy.layers.l2 import Dot1Q, Ether
from topology import OUTSIDE_FAR, OUTSIDE_FAR6, run, wait_for
from wire import GATEWAY_MAC, echo


def reaches_outside(netns, **more):
    return [netns.ping(far, **more).returncode == 0 for far in (OUTSIDE_FAR, OUTSIDE_FAR6)]


@pytest.mark.attach
def test_forwarding_switched_on_and_off(host, a, family):
    """As docker starts and `sysctl --system` follows: that clears forwarding of every device, lo included."""
    host.nsbpf("expose", a.name, "5000")
    with host.outside.tcp_echo(80, family.any) as far, a.tcp_echo(5000, family.any) as own:
        old = a.tcp_session(family.far, 80)
        assert old.ask()["peer"] == family.host
        for value in ("1", "0"):
            host.sysctl(f"{family.conf}.conf.all.forwarding", value)
        assert host.sysctl(f"{family.conf}.conf.lo.forwarding") == "0"
        # Past the second for which a connection relies on its route.
        for _ in range(3):
            assert a.ping(family.far, count=3).returncode == 0
            assert old.ask("still")["data"] == "still"
        assert a.tcp(family.far, 80)["peer"] == family.host
        assert a.ping(family.host).returncode == 0
        assert host.outside.tcp(family.host, 5000)["peer"] == family.outside
        assert a.tcp(family.host, 5000)["peer"] == family.host
        host.nsbpf("expose", a.name, "5001")
        assert host.sysctl(f"{family.conf}.conf.lo.forwarding") == "1"
        far.wait(lambda line: "data" in line, count=4)
        own.wait(lambda line: "data" in line, count=2)


def test_an_uplinks_link_that_was_detached(host, a, family):
    pin, = glob.glob(f"{host.pin_directories()[0]}/links/*-from_uplink")
    assert a.ping(family.far).returncode == 0
    run("bpftool", "link", "detach", "pinned", pin)
    assert a.ping(family.far, timeout=1).returncode
    host.nsbpf("expose", a.name, "5000")
    assert a.ping(family.far).returncode == 0


def test_an_uplinks_pin_that_was_removed(host, a, family):
    pin, = glob.glob(f"{host.pin_directories()[0]}/links/*-from_uplink")
    os.unlink(pin)
    wait_for(lambda: a.ping(family.far, timeout=1).returncode)  # the kernel lets go of a link a moment later
    host.nsbpf("expose", a.name, "5000")
    assert a.ping(family.far).returncode == 0


@pytest.mark.families("both")
@pytest.mark.parametrize("pin", ["maps/settings", "maps/usage", "programs/end_connection"])
def test_a_pin_that_was_removed(host, a, pin):
    """Nothing is done by halves then: every command names the way out, and that works."""
    os.unlink(f"{host.pin_directories()[0]}/{pin}")
    for command in (["list"], ["add", host.name("b")], ["del", a.name], ["set", "timeout.udp", "1m"]):
        done = host.nsbpf(*command, check=False)
        assert done.returncode == 2 and pin in done.stderr and "nsbpf down" in done.stderr
    host.nsbpf("down")
    assert host.pin_directories() == []
    run("ip", "netns", "del", a.name)
    assert all(reaches_outside(host.add("a")))


@pytest.mark.families("both")
@pytest.mark.parametrize("attach", ["clsact"], indirect=True)
def test_an_uplinks_qdisc_that_was_removed(host, a):
    run(*host.command("tc", "qdisc", "del", "dev", "up0", "clsact"))
    assert not any(reaches_outside(a, timeout=1))
    host.nsbpf("expose", a.name, "5000")
    assert all(reaches_outside(a))
    host.nsbpf("down")
    assert "clsact" not in run(*host.command("tc", "qdisc", "show", "dev", "up0")).stdout


def test_without_its_program_an_endpoint_is_cut_off(host, a, family):
    """Better no packet than one that leaves with the endpoint's own address."""
    with host.outside.capture("wan0") as wire:
        for pin in glob.glob(f"{host.pin_directories()[0]}/links/*-from_endpoint"):
            run("bpftool", "link", "detach", "pinned", pin)
        assert a.ping(family.far, timeout=1).returncode
        assert host.outside.ping(family.host).returncode == 0
        own = ip_address(a.address_of(family)).packed
        assert not wire.matching(lambda p: own in p.frame)


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_unexpose_ends_the_hosts_own_connections(host, a, proto, family):
    host.nsbpf("expose", a.name, f"5000/{proto}")
    with echo(a, proto, 5000, family.any):
        direct = session(host, proto, a.address_of(family), 5000)
        through = session(host, proto, family.loopback, 5000)
        assert through.ask()["data"] == direct.ask()["data"] == "hello"
        host.nsbpf("unexpose", a.name, f"5000/{proto}")
        # of UDP the next send comes before what the socket is told: it is connected to nobody any more
        assert through.ask("after")["error"] == {"tcp": "ECONNABORTED", "udp": "EDESTADDRREQ"}[proto]
        assert direct.ask("after")["data"] == "after"


def session(netns, proto, address, port):
    if proto == "tcp":
        return netns.tcp_session(address, port, timeout=1.0)
    return netns.udp_session(address, port, timeout=1.0, connect=True)


@pytest.mark.attach
def test_one_client_port_by_two_host_ports_to_one_endpoint_port(host, a, family):
    """The translated tuples are the same: only another port tells the answers apart."""
    host.nsbpf("expose", a.name, "6000:5000")
    host.nsbpf("expose", a.name, "6001:5000")
    with a.tcp_echo(5000, family.any) as server:
        first = host.outside.tcp_session(family.host, 6000, source=family.outside, source_port=40000)
        assert first.ask()["data"] == "hello"
        second = host.outside.tcp_session(family.host, 6001, source=family.outside, source_port=40000)
        assert second.ask()["data"] == "hello"
        assert first.ask("still")["data"] == "still"
        assert {line["peer"] for line in server.wait(lambda line: "peer" in line, count=3)} == {family.outside}


def test_unexpose_names_what_stays_open(host, a):
    host.nsbpf("expose", a.name, "8080:80")
    host.nsbpf("expose", a.name, "6000-6010")
    part = host.nsbpf("unexpose", a.name, "6005", check=False)
    assert part.returncode == 4 and "6000-6010" in part.stderr
    other = host.nsbpf("unexpose", a.name, "8080:81", check=False)
    assert other.returncode == 4 and "80" in other.stderr
    host.nsbpf("unexpose", a.name, "8080")
    assert [row["first"] for row in host.json("ports")] == [6000]


def test_a_new_endpoint_counts_from_zero(host, a, family):
    host.run("ping", "-q", "-c", "50", "-i", "0.002", a.address_of(family))
    assert a.info["tx_packets"] >= 50
    host.nsbpf("del", a.name)
    again = host.add("b").info  # with what a fresh device has to say
    assert again["tx_packets"] < 10 and again["rx_packets"] < 10


def test_a_tagged_frame_does_not_leave(host, a, family):
    """The tag would stay on it, out of the uplink and into a VLAN of the host's choosing."""
    frame = (Ether(dst=GATEWAY_MAC, src=a.info["mac"]) / Dot1Q(vlan=77) / family.ip(a.address_of(family), family.far) /
             UDP(sport=5, dport=53) / b"tagged")
    before = host.json()["drops"]["ethertype"]
    with host.outside.capture("wan0") as wire:
        a.send("eth0", bytes(frame))
        assert host.outside.ping(family.host).returncode == 0
        assert not wire.matching(lambda p: b"tagged" in p.frame)
    assert host.json()["drops"]["ethertype"] == before + 1
