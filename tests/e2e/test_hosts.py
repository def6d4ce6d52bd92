# SPDX-License-Identifier: GPL-2.0-only
"""Several hosts on one machine: what one does, the others neither see nor notice.

     host 1 (nt<run>-1h)            host 2 (nt<run>-2h)            both with a `default` network 10.80.0.0/16,
       |- nt<run>-1a 10.80.0.2        |- nt<run>-2a 10.80.0.2      each with an outside machine of its own
"""
import ipaddress
import os

import pytest
import snapshot
from families import FAMILIES
from topology import HOST_ADDRESS, NSBPF, OUTSIDE_FAR, Endpoint, Host, Netns

VIAS = ["nsenter", "exec"]


class Nested(Host):
    """nsbpf run inside an endpoint, by a Host's methods; the Host around it removes everything."""

    def __init__(self, host, outer):  # pylint: disable=super-init-not-called
        Netns.__init__(self, outer.name, host)
        self.attach = host.attach


@pytest.mark.attach
@pytest.mark.families("both")
def test_side_by_side(make_host):
    one, two = make_host(), make_host()
    a, b = one.add("a"), two.add("a")
    assert list(one.endpoints()) == [a.name]
    assert list(two.endpoints()) == [b.name]
    assert a.info["addresses"] == b.info["addresses"] and a.address == "10.80.0.2"
    for host, ns in ((one, a), (two, b)):
        host.nsbpf("expose", ns.name, "5000")
        for family in FAMILIES.values():
            with ns.tcp_echo(5000, address=family.any) as server:
                answer = host.outside.tcp(family.host, 5000, "to " + ns.name)
                assert answer["data"] == "to " + ns.name and answer["peer"] == family.outside
                assert len(server.wait(lambda line: "data" in line)) == 1
                assert host.tcp(family.loopback, 5000)["data"] == "hello"
    assert [port["endpoint"] for port in one.json("ports")] == [a.name]
    assert one.json()["host"]["netns_cookie"] != two.json()["host"]["netns_cookie"]
    assert len(one.pin_directories()) == len(two.pin_directories()) == 1


@pytest.mark.attach
def test_down_of_one_leaves_the_other(make_host):
    one, two = make_host(), make_host()
    a, b = one.add("a"), two.add("a")
    server = two.outside.tcp_echo(7000)
    talk = b.tcp_session(OUTSIDE_FAR, 7000)
    assert talk.ask("before")["data"] == "before"
    before = snapshot.take(two)
    objects = snapshot.bpf_objects(one)
    assert objects and not objects & snapshot.bpf_objects(two)
    one.nsbpf("down")
    assert snapshot.difference(before, snapshot.take(two)) == []
    assert snapshot.still_loaded(snapshot.bpf_objects(two)) == snapshot.bpf_objects(two)
    assert not os.path.exists(a.path)
    assert one.json()["host"]["running"] is False and two.json()["host"]["running"] is True
    assert talk.ask("after")["data"] == "after"
    assert b.tcp(OUTSIDE_FAR, 7000)["peer"] == HOST_ADDRESS
    assert server.port == 7000


def test_an_endpoint_of_another_host_is_not_adopted(make_host):
    """Names in /run/netns are the machine's: the second host may not pull a live endpoint from under the first."""
    one, two = make_host(), make_host()
    ns = one.add("a")
    before = snapshot.take(one)
    refused = two.nsbpf("add", ns.name, check=False)
    assert refused.returncode == 4, refused
    assert len(refused.stderr.splitlines()) == 1 and ns.name in refused.stderr
    assert two.nsbpf("del", ns.name).stdout == "unchanged\n"
    assert two.nsbpf("exec", ns.name, "true", check=False).returncode == 3
    two.nsbpf("down")
    assert snapshot.difference(before, snapshot.take(one)) == []
    assert ns.ping(OUTSIDE_FAR).returncode == 0


@pytest.mark.parametrize("first", VIAS)
@pytest.mark.parametrize("later", VIAS)
def test_nsenter_and_ip_netns_exec_are_the_same_host(host, first, later):
    """`ip netns exec` hides the caller's /sys with bpffs and cgroup2 in it, and takes its mounts away at its end."""
    before = snapshot.take(host)
    ns = host.add("a", via=first)
    server = ns.tcp_echo(5000)
    assert list(host.endpoints()) == [ns.name]
    for via in (later, first):
        assert [entry["name"] for entry in host.json("list", via=via)] == [ns.name]
        assert host.json("list", via=via)[0]["state"] == "up"
    assert host.nsbpf("add", ns.name, via=later).stdout == "unchanged\n"
    host.nsbpf("expose", ns.name, "5000", via=later)
    assert host.outside.tcp(HOST_ADDRESS, 5000)["data"] == "hello"
    assert host.tcp("127.0.0.1", 5000)["data"] == "hello"
    assert host.run("curl", "--version", via="exec").returncode == 0
    assert ns.ping(OUTSIDE_FAR).returncode == 0
    assert host.nsbpf("exec", ns.name, "echo", "x", via=later).stdout == "x\n"
    server.stop()
    objects = snapshot.bpf_objects(host)
    host.nsbpf("down", via=later)
    assert snapshot.difference(before, snapshot.take(host)) == []
    assert snapshot.still_loaded(objects) == set()


@pytest.mark.parametrize("later", VIAS)
def test_bpffs_is_found_where_it_is(host, later):
    """A mount namespace that was made before bpffs was mounted, or that lost it, still is the same host."""
    host.add("a", via="exec")
    done = host.run("unshare", "--mount", "--propagation", "private", "sh", "-c",
                    'umount -l /sys/fs/bpf 2>/dev/null; exec "$@"', "sh", NSBPF, "list", "-j", via=later)
    assert host.name("a") in done.stdout


@pytest.mark.attach
@pytest.mark.families("both")
def test_it_nests(host):
    """An endpoint is a host too: its uplink is eth0, and two masquerades lie between its endpoint and the outside."""
    outer = host.add("a")
    inner_host = Nested(host, outer)
    name = host.name("i")
    inner_host.nsbpf("add", name)
    inner = Endpoint(host, name)
    network, = inner_host.json("network", "list")
    assert network["subnet"] == "10.81.0.0/16"
    within = [ipaddress.ip_network(each["subnet6"]) for each in (network, *host.json("network", "list"))]
    assert not within[0].overlaps(within[1])
    assert within[0].supernet(new_prefix=48) == within[1].supernet(new_prefix=48), "they are one machine"
    assert list(host.endpoints()) == [outer.name]
    inner_host.nsbpf("expose", name, "5000")
    host.nsbpf("expose", outer.name, "5001:5000")
    for family in FAMILIES.values():
        with host.outside.tcp_echo(7000, address=family.any):
            assert inner.tcp(family.far, 7000)["peer"] == family.host
        with inner.tcp_echo(5000, address=family.any):
            assert host.outside.tcp(family.host, 5001)["peer"] == family.outside
        assert inner.ping(outer.gateway_of(family)).returncode == 0
    inner_host.nsbpf("down")
    for family in FAMILIES.values():
        assert outer.ping(family.far).returncode == 0


def test_hosts_in_a_row_leave_no_pins(make_host):
    """State is filed under the namespace's cookie, which is never used again: what stays behind would pile up."""
    for _ in range(5):
        host = make_host()
        host.add("a")
        host.nsbpf("down")
        assert host.pin_directories() == []
        host.close()
