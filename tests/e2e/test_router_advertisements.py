# SPDX-License-Identifier: GPL-2.0-only
"""A host that has its IPv6 routes from router advertisements keeps them, whatever nsbpf borrows.

    host ---- up0 2001:db8:1::/64 ---- wan0 fe80::2 outside
         ---- up1 2001:db8:7::/64 ---- wan1 fe80::3 router, knows a way to 2001:db8:8::/48 as well
"""
import os
import re
import shutil

import pytest
from scapy.layers.inet6 import ICMPv6ND_RA, ICMPv6NDOptPrefixInfo, ICMPv6NDOptRouteInfo, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import Ether
from topology import OUTSIDE_FAR6, run, wait_for

pytestmark = pytest.mark.families(6)

ALL_NODES, ALL_NODES_MAC = "ff02::1", "33:33:00:00:00:01"
LOW = 3  # RFC 4191 section 2.1
RECORD = "maps/accept_ra"


def advertise(router, device, source, prefix, preference=0, more=None):
    """A default route, an on-link prefix to make addresses of, and what else is asked for."""
    mac = router.link(device)["address"]
    frame = (Ether(src=mac, dst=ALL_NODES_MAC) / IPv6(src=source, dst=ALL_NODES, hlim=255) /
             ICMPv6ND_RA(routerlifetime=1800, prf=preference) / ICMPv6NDOptSrcLLAddr(lladdr=mac) /
             ICMPv6NDOptPrefixInfo(prefix=prefix, prefixlen=64, validlifetime=3600, preferredlifetime=1800))
    router.send(device, frame / more if more else frame)


def learned(host):
    """Routes that the kernel has from advertisements; their remaining lifetimes left out."""
    lines = host.ip("-6", "route", "show", "table", "all").splitlines()
    return sorted(re.sub(r" expires \d+sec", "", line) for line in lines if " expires " in line)


def accept_ra(host):
    shown = host.run("grep", "-r", "", "/proc/sys/net/ipv6/conf", "--include=accept_ra").stdout
    return {line.split("/")[6]: line.rsplit(":", 1)[1] for line in shown.splitlines() if "/nsb" not in line}


@pytest.fixture
def taught(host):
    """Two routers that the host has learned of, and another route that came with the second."""
    host.ip("-6", "route", "del", "default")
    router = host.machine("r")
    host.connect(host, "up1", router, "wan1")
    router.ip("address", "add", "fe80::3/64", "dev", "wan1", "nodad")
    host.sysctl("net.ipv6.conf.up1.accept_ra_rt_info_max_plen", 64)
    advertise(host.outside, "wan0", "fe80::2", "2001:db8:1::")
    advertise(router, "wan1", "fe80::3", "2001:db8:7::", LOW,
              ICMPv6NDOptRouteInfo(prefix="2001:db8:8::", plen=48, rtlifetime=1800))
    wait_for(lambda: len([line for line in learned(host) if line.startswith("default")]) == 2)
    wait_for(lambda: "2001:db8:8::/48" in " ".join(learned(host)))
    return host


def test_what_the_kernel_forgets_by_itself(taught):
    """Else the tests below would show nothing."""
    taught.sysctl("net.ipv6.conf.lo.forwarding", 1)
    assert not [line for line in learned(taught) if line.startswith("default")]


@pytest.mark.attach
def test_learned_routes_stay(taught):
    routes, accepted, forwarding = learned(taught), accept_ra(taught), taught.sysctl("net.ipv6.conf.lo.forwarding")
    ns = taught.add("a")
    assert taught.sysctl("net.ipv6.conf.lo.forwarding") == "1"
    assert learned(taught) == routes
    assert accept_ra(taught) == accepted
    assert ns.ping(OUTSIDE_FAR6).returncode == 0
    assert {entry["name"] for entry in taught.json("uplink", "list")} == {"up0", "up1"}
    assert not os.path.exists(f"{taught.pin_directories()[0]}/{RECORD}")
    taught.nsbpf("down")
    assert learned(taught) == routes
    assert (accept_ra(taught), taught.sysctl("net.ipv6.conf.lo.forwarding")) == (accepted, forwarding)


@pytest.mark.parametrize("value", ["0", "1", "2"])
def test_every_device_accepts_what_it_did(taught, value):
    taught.sysctl("net.ipv6.conf.up1.accept_ra", value)
    accepted = accept_ra(taught)
    taught.add("a")
    assert accept_ra(taught) == accepted
    taught.nsbpf("down")
    assert accept_ra(taught) == accepted


def test_a_router_stays_one(taught):
    """With forwarding on, the kernel has forgotten long ago what it should not know; nothing is to be lent."""
    taught.sysctl("net.ipv6.conf.all.forwarding", 1)
    accepted = accept_ra(taught)
    taught.add("a")
    taught.nsbpf("down")
    assert taught.sysctl("net.ipv6.conf.lo.forwarding") == "1"
    assert accept_ra(taught) == accepted


def test_an_endpoint_is_no_router(taught):
    """Its advertisements reach nobody; nor would they if the program in front of it were gone."""
    routes = learned(taught)
    ns = taught.add("a")
    assert taught.sysctl(f"net/ipv6/conf/{ns.device}/accept_ra") == "0"
    link_local = wait_for(lambda: re.search(r"inet6 (fe80:\S+)/64 scope link \n", ns.ip("-6", "address")))[1]
    advertise(ns, "eth0", link_local, "2001:db8:9::")
    wait_for(lambda: taught.json()["drops"]["spoofed-nd"] >= 1)
    assert learned(taught) == routes


def writes(host, command, path):
    """Numbers of the command's write() calls to sysctls of IPv6."""
    run("strace", "-f", "-qq", "-y", "-o", path, "-e", "trace=write", *host.nsbpf_command(*command))
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if " write(" in line]
    return [number for number, line in enumerate(lines, 1) if re.search(r"/(accept_ra|lo/forwarding)>", line)]


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
@pytest.mark.parametrize("then", ["add", "down"])
def test_killed_in_between(taught, tmp_path, then):
    """The next command puts back what the killed one could not, and no route is lost on the way."""
    routes, accepted = learned(taught), accept_ra(taught)
    command = ["add", taught.name("a")]
    numbers = writes(taught, command, tmp_path / "trace")
    taught.nsbpf("down")
    changed = 0
    for number in numbers:
        inject = f"inject=write:signal=KILL:when={number}"
        run("strace", "-f", "-qq", "-o", os.devnull, "-e", "trace=write", "-e", inject,
            *taught.nsbpf_command(*command), check=False)
        changed += accept_ra(taught) != accepted
        taught.nsbpf(*(command if then == "add" else ["down"]))
        assert (accept_ra(taught), learned(taught)) == (accepted, routes), number
        taught.nsbpf("down")
        assert (accept_ra(taught), learned(taught)) == (accepted, routes), number
    assert changed > 2, "the kill was never in between"
