# SPDX-License-Identifier: GPL-2.0-only
"""`down` leaves nothing: no link, map, pin, filter, qdisc, route, neighbour, address, sysctl, file. What others made
stays."""
import os
import re
import shutil

import pytest
import snapshot
from families import FAMILIES
from topology import (ETC_NETNS, HOST_ADDRESS, HOST_ADDRESS6, NETNS_DIR, OUTSIDE_ADDRESS, OUTSIDE_FAR,
                      OUTSIDE_LINK_LOCAL, run, wait_for)

pytestmark = pytest.mark.attach


def root_snapshot():
    """What nsbpf, run in a namespace of its own, has no business with."""
    links = run("ip", "-o", "link").stdout.splitlines()
    return {"sysctls": run("sysctl", "-n", "net.ipv4.ip_forward", "net.ipv4.conf.all.rp_filter",
                           "net.ipv4.ip_local_port_range", "net.ipv6.conf.all.forwarding",
                           "net.ipv6.conf.lo.forwarding", "kernel.unprivileged_bpf_disabled").stdout,
            "links": [line.split()[1] for line in links],
            "routes": run("ip", "route", "show", "table", "all").stdout,
            "routes6": re.sub(r" expires \S+", "", run("ip", "-6", "route", "show", "table", "all").stdout)}


@pytest.mark.families("both")
def test_pitfall_cni_810_752_down_after_everything(host):
    before, root = snapshot.take(host), root_snapshot()
    run("ip", "netns", "add", host.name("k"))
    second = host.machine("s")
    host.connect(host, "up1", second, "wan1")
    host.ip("address", "add", "192.0.2.1/24", "dev", "up1")
    start = snapshot.take(host)

    host.nsbpf("network", "add", "blue", "--mode", "routed", "--subnet", "172.20.0.0/24", "--subnet6",
               "2001:db8:5::/64")
    host.nsbpf("network", "add", "unused")
    a, b, k = host.add("a"), host.add("b", "--network", "blue"), host.add("k")
    host.nsbpf("uplink", "add", "up1")
    host.nsbpf("expose", a.name, "5000-5010")
    host.nsbpf("expose", b.name, f"{HOST_ADDRESS}:53/both", "--from", "198.51.100.0/24")
    host.nsbpf("expose", b.name, f"[{HOST_ADDRESS6}]:53/both", "--from", "2001:db8::/32")
    host.nsbpf("expose", k.name, "127.0.0.1:8080")
    host.nsbpf("expose", k.name, "[::1]:8080")
    server = a.tcp_echo(5000, address="::")
    for family in FAMILIES.values():
        assert host.outside.tcp(family.host, 5000)["data"] == "hello"
        assert host.tcp(family.loopback, 5000)["data"] == "hello"
        assert a.ping(family.far).returncode == 0
        kept_open = host.outside.tcp_session(family.host, 5000)
        assert kept_open.ask()["data"] == "hello"
    objects = snapshot.bpf_objects(host)
    assert {kind for kind, _ in objects} >= {"map", "prog"}
    assert len(objects) > 10
    server.stop()

    host.nsbpf("down")
    assert snapshot.difference(start, snapshot.take(host)) == []
    wait_for(lambda: not snapshot.still_loaded(objects), what="all BPF objects are unloaded")
    assert os.path.exists(f"{NETNS_DIR}/{k.name}"), "an adopted namespace is its owner's"
    assert root_snapshot() == root
    host.ip("link", "del", "up1")
    run("ip", "netns", "del", k.name)
    run("ip", "netns", "del", second.netns)
    host.machines.remove(second)
    assert snapshot.difference(before, snapshot.take(host)) == []
    assert host.nsbpf("down").stdout == "unchanged\n"


# Lent for bpf_fib_lookup(), see user/forwarding.c.
LENT = re.compile(r"net\.(ipv[46]\.conf\.lo\.forwarding|ipv4\.ip_forward_use_pmtu) = ")


def test_forwarding_and_sysctls_stay_as_they_are(host, family):
    for forwarding in ("0", "1"):
        host.sysctl(f"{family.conf}.conf.all.forwarding", forwarding)
        before = snapshot.sysctls(host)
        ns = host.add("a")
        device = ns.device.replace(".", "/")  # as sysctl has it
        assert ns.ping(family.far).returncode == 0
        during = [line for line in snapshot.sysctls(host) if device not in line]
        assert [line for line in during if not LENT.match(line)] == [line for line in before if not LENT.match(line)]
        assert {f"net.ipv4.conf.{device}.forwarding = 0", f"net.ipv6.conf.{device}.accept_ra = 0"} <= set(
            snapshot.sysctls(host))
        host.nsbpf("down")
        assert snapshot.sysctls(host) == before


def test_files_of_the_operator_stay(host):
    """/etc/netns/NAME was there before, with things in it; nsbpf's own resolv.conf goes, the rest does not."""
    directory = f"{ETC_NETNS}/{host.name('a')}"
    os.makedirs(directory)
    with open(f"{directory}/hosts", "w", encoding="utf-8") as hosts:
        hosts.write("192.0.2.9 mine\n")
    before = snapshot.take(host)
    host.add("a", "--dns", "192.0.2.53")
    assert os.path.exists(f"{directory}/resolv.conf")
    host.nsbpf("down")
    assert snapshot.difference(before, snapshot.take(host)) == []
    host.add("a", "--dns", "192.0.2.53")
    host.nsbpf("del", host.name("a"))
    assert os.listdir(directory) == ["hosts"]


def test_qdiscs_and_filters_of_others_stay(host):
    run("tc", "-n", host.netns, "qdisc", "add", "dev", "up0", "clsact")
    run("tc", "-n", host.netns, "filter", "add", "dev", "up0", "ingress", "pref", "777", "protocol", "ip", "u32",
        "match", "ip", "dst", "203.0.113.77/32", "classid", "1:1")
    before = snapshot.take(host)
    ns = host.add("a")
    assert ns.ping(OUTSIDE_FAR).returncode == 0
    host.nsbpf("down")
    assert snapshot.difference(before, snapshot.take(host)) == []


def test_an_empty_qdisc_of_others_stays(host):
    run("tc", "-n", host.netns, "qdisc", "add", "dev", "up0", "clsact")
    before = snapshot.take(host)
    host.add("a")
    host.nsbpf("down")
    assert snapshot.difference(before, snapshot.take(host)) == []


@pytest.mark.families("both")
def test_routes_and_addresses_of_others_stay(host):
    host.ip_batch("route add 10.80.3.4/32 dev up0 table 99", "route add 192.0.2.128/25 via " + OUTSIDE_ADDRESS,
                  "neighbour add 198.51.100.77 lladdr 02:00:5e:00:53:77 dev up0 nud permanent",
                  "address add 10.99.0.1/32 dev lo",
                  f"route add fd02::9/128 via {OUTSIDE_LINK_LOCAL} dev up0 table 99",
                  f"route add 2001:db8:99::/48 via {OUTSIDE_LINK_LOCAL} dev up0", "route add unreachable fd00::/8",
                  "neighbour add 2001:db8:1::77 lladdr 02:00:5e:00:53:77 dev up0 nud permanent",
                  "address add 2001:db8:98::1/128 dev lo")
    before = snapshot.take(host)
    host.add("a")
    host.nsbpf("down")
    assert snapshot.difference(before, snapshot.take(host)) == []


def test_down_with_all_namespaces_deleted_by_hand(host):
    before = snapshot.take(host)
    for short in "abc":
        host.add(short)
    objects = snapshot.bpf_objects(host)
    for short in "abc":
        run("ip", "netns", "del", host.name(short))
    host.nsbpf("down")
    assert snapshot.difference(before, snapshot.take(host)) == []
    wait_for(lambda: not snapshot.still_loaded(objects), what="all BPF objects are unloaded")


def test_down_after_the_devices_were_deleted_by_hand(host):
    before = snapshot.take(host)
    ns = host.add("a")
    host.add("b")
    host.ip("link", "del", ns.device)
    assert host.endpoints()[ns.name]["state"] in ("gone", "incomplete")
    host.nsbpf("down")
    assert snapshot.difference(before, snapshot.take(host)) == []


@pytest.mark.families("both")
def test_down_without_any_record(host):
    """Somebody has removed all pins: devices, routes and addresses are known by their marks."""
    host.sysctl("net.ipv4.ip_forward", 1)  # without the record nobody knows what was lent
    host.sysctl("net.ipv6.conf.all.forwarding", 1)
    before = snapshot.take(host)
    host.nsbpf("network", "add", "blue", "--subnet6", "2001:db8:5::/64")
    ns = host.add("a", "--network", "blue")
    shutil.rmtree(host.pin_directories()[0])
    assert "2001:db8:5::1/128" in host.ip("-6", "address")
    host.nsbpf("down")
    run("ip", "netns", "del", ns.name)
    assert snapshot.difference(before, snapshot.take(host), "qdiscs", "filters", "sysctls", "etc") == []


def test_down_after_the_uplink_went(host):
    host.add("a")
    host.ip("link", "del", "up0")
    before = snapshot.take(host)
    assert host.json()["host"]["running"] is True
    host.nsbpf("down")
    after = snapshot.take(host)
    assert after["pins"] == [] and host.name("a") not in after["netns"]
    assert not [line for line in after["links"] if "nsb" in line]
    assert not [line for line in snapshot.difference(before, after) if " new: " in line and not LENT.search(line)]


def test_unexpose_and_uplink_del_leave_nothing_of_theirs(host):
    ns = host.add("a")
    second = host.machine("s")
    host.connect(host, "up1", second, "wan1")
    host.ip("address", "add", "192.0.2.1/24", "dev", "up1")
    before = snapshot.take(host)
    host.nsbpf("expose", ns.name, "5000-5010/both")
    host.nsbpf("uplink", "add", "up1")
    host.nsbpf("unexpose", ns.name, "5000-5010/both")
    host.nsbpf("uplink", "del", "up1")
    assert snapshot.difference(before, snapshot.take(host)) == []
