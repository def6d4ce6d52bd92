# SPDX-License-Identifier: GPL-2.0-only
"""`nsbpf check` and `check --repair`: on an empty host, on a busy one, and on one that somebody has broken by hand.

One busy host for all faults: each test breaks one thing, sees it found, nothing else accused, and mended.
"""
import json
import os
import shutil
import socket
import struct
import time

import maps
import pytest
from golden import golden
from processes import PYTHON
from topology import HOST_ADDRESS, HOST_ADDRESS6, OUTSIDE_ADDRESS, Host, wait_for

DRIFT = 5
SLOT = 1  # of the first endpoint
ROOM = 8192  # the fewest: some tests read all of a table

# New flows for as long as it is let: first packets only, to ports that nobody serves.
FLOWS = """
import socket, sys
while True:
    for _ in range(20):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b"x", (sys.argv[1], 9))
"""

# The same from one port, to many: all by one NAT port.
SCAN = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    for port in range(1, 60000):
        s.sendto(b"x", (sys.argv[1], port))
"""


@pytest.fixture(scope="module")
def busy():
    with Host() as host:
        host.nsbpf("set", "connections", ROOM)
        host.a, host.b = host.add("a"), host.add("b")
        host.nsbpf("expose", host.a.name, "8080:80")
        host.nsbpf("network", "add", "lab", "--subnet", "192.0.2.0/24")
        host.server = host.outside.udp_echo()
        host.session = host.a.udp_session(OUTSIDE_ADDRESS, host.server.port)
        assert "error" not in host.session.first and host.session.ask("hello")
        yield host


def checked(host, *options, code):
    done = host.nsbpf("check", "-j", *options, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["ok"] == (code == 0)
    return found


def findings(found):
    return [(finding["object"], finding["what"]) for finding in found["findings"]]


def found_and_mended(host, *wanted):
    """These and no others; `--repair` mends them, and the next look finds nothing."""
    found = checked(host, code=DRIFT)
    assert sorted(findings(found)) == sorted(wanted)
    assert all(not finding["repaired"] for finding in found["findings"])
    assert [finding["remedy"] for finding in found["findings"] if finding["what"] == "addresses in the datapath"] in (
        [], ["the next command that adds something tells the datapath"])
    found = checked(host, "--repair", code=0)
    assert set(wanted) >= set(findings(found)) and found["findings"]
    assert all(finding["repaired"] and finding["remedy"] is None for finding in found["findings"])
    assert checked(host, code=0)["findings"] == []
    assert host.session.ask("still there"), "a connection goes through all of it"


def of(endpoint, *whats):
    return [(f"endpoint {endpoint.name}", what) for what in whats]


def test_nothing_runs(host):
    golden("check-nothing", host.nsbpf("check").stdout)
    golden("check-nothing", host.nsbpf("check", "--repair").stdout)
    assert checked(host, code=0) == {"ok": True, "findings": [], "not_listed": 0, "looked_at": {
        "networks": 0, "endpoints": 0, "uplinks": 0, "ports": 0, "connections": 0}}
    assert host.pin_directories() == [], "looking makes nothing"


def test_all_is_well(busy):
    golden("check-well", busy.nsbpf("check").stdout)
    golden("check-well", busy.nsbpf("check", "--repair").stdout)
    assert checked(busy, code=0) == {"ok": True, "findings": [], "not_listed": 0, "looked_at": {
        "networks": 2, "endpoints": 2, "uplinks": 1, "ports": 1, "connections": 1}}


def test_text(busy):
    busy.ip("route", "del", busy.b.address)
    busy.b.ip("link", "set", "eth0", "mtu", "1400")
    names = {busy.a.name: "A", busy.b.name: "B"}
    done = busy.nsbpf("check", check=False)
    assert done.returncode == DRIFT and done.stderr == ""
    golden("check-drift", done.stdout, names)
    golden("check-repair", busy.nsbpf("check", "--repair").stdout, names)


@pytest.mark.parametrize("words", [["web"], ["--mend"], ["--repair=yes"], ["--repair", "all"]])
def test_bad_input(host, words):
    done = host.nsbpf("check", *words, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    done = host.nsbpf("-j", "check", *words, check=False)
    assert json.loads(done.stderr)["error"]["code"] == done.returncode == 1


# programs
@pytest.mark.attach
def test_programs(host):
    a = host.add("a")
    host.session = a.udp_session(OUTSIDE_ADDRESS, host.outside.udp_echo().port)
    assert checked(host, code=0)["findings"] == []
    if host.attach == "tcx":
        links = host.pin_directories()[0] + "/links"
        os.unlink(f"{links}/{(1 << 24) + SLOT}-from_endpoint")
        os.unlink(f"{links}/{host.link('up0')['ifindex']}-from_uplink")
    else:
        for device in (a.device, "up0"):
            host.run("tc", "filter", "del", "dev", device, "ingress")
    host.run("tc", "qdisc", "del", "dev", a.device, "clsact")
    found_and_mended(host, *of(a, f"program from_endpoint on {a.device}", f"program to_endpoint on {a.device}"),
                     ("uplink up0", "program from_uplink"))


@pytest.mark.attach
def test_a_filter_replaced(host):
    """With the handle and priority of ours there is another program."""
    a = host.add("a")
    host.session = a.udp_session(OUTSIDE_ADDRESS, host.outside.udp_echo().port)
    pins = host.pin_directories()[0]
    host.run("tc", "filter", "replace", "dev", a.device, "egress", "handle", "1", "pref", "20051", "protocol", "all",
             "bpf", "da", "object-pinned", f"{pins}/programs/from_uplink")
    found_and_mended(host, *of(a, f"program to_endpoint on {a.device}"))


def test_somebody_else_s_program(busy):
    device = busy.a.device
    busy.run("tc", "filter", "add", "dev", device, "egress", "pref", "1", "handle", "1", "protocol", "all", "bpf", "da",
             "object-pinned", f"{busy.pin_directories()[0]}/programs/to_endpoint")
    found = checked(busy, "--repair", code=DRIFT)
    assert findings(found) == of(busy.a, f"programs on {device}")
    assert found["findings"][0]["is"] == "tc filter bpf, priority 1" and device in found["findings"][0]["remedy"]
    busy.run("tc", "filter", "del", "dev", device, "egress", "pref", "1")
    assert checked(busy, code=0)["findings"] == []


# namespaces
def test_device_inside_was_down(busy):
    """What README names under limits: the default routes went with it."""
    a = busy.a
    address6 = a.address6
    a.ip("link", "set", "eth0", "down")
    a.ip("link", "set", "eth0", "up")
    wait_for(lambda: a.link("eth0")["operstate"] == "UP")
    found_and_mended(busy, *of(a, "default route inside", "IPv6 default route inside",
                               f"address {address6}/64 of eth0"))
    assert a.ping(OUTSIDE_ADDRESS).returncode == 0
    assert [route["gateway"] for route in a.ip_json("-6", "route", "show", "default")] == [a.info["gateway6"]]


def test_device_inside_is_down(busy):
    b = busy.b
    b.ip("link", "set", "eth0", "down")
    found_and_mended(busy, *of(b, "device eth0", "default route inside", "IPv6 default route inside",
                               f"address {b.address6}/64 of eth0"))


def test_another_default_route_is_a_choice(busy):
    busy.b.ip("route", "replace", "default", "via", busy.a.address)
    assert checked(busy, code=0)["findings"] == []
    busy.b.ip("route", "replace", "default", "via", busy.b.info["gateway"])


def test_inside(busy):
    b = busy.b
    mac = b.info["mac"]
    b.ip_batch(f"address del {b.address}/16 dev eth0", "link set lo down",
               "link set eth0 address 02:00:00:00:00:77 mtu 1280")
    found_and_mended(busy, *of(b, f"address {b.address}/16 of eth0", "default route inside", "device lo inside",
                               "MAC of eth0", "MTU of eth0"))
    assert (b.link("eth0")["address"], b.link("eth0")["mtu"]) == (mac, 1500)
    assert b.ping(OUTSIDE_ADDRESS).returncode == 0


# the host's side of an endpoint
def test_ways_on_the_host(busy):
    b = busy.b
    gateway = b.info["gateway"]
    busy.ip_batch(f"route del {b.address}", f"route del {b.address6}", f"neigh del {b.address} dev {b.device}",
                  f"neigh replace {b.address6} lladdr 02:00:00:00:00:77 dev {b.device} nud permanent",
                  f"address del {gateway}/32 dev {b.device}")
    found_and_mended(busy, *of(
        b, f"route to {b.address} on the host", f"route to {b.address6} on the host",
        f"neighbour {b.address} on the host", f"neighbour {b.address6} on the host",
        f"gateway {gateway} on its device"))
    assert busy.ping(b.address).returncode == busy.ping(b.address6).returncode == 0


def test_host_veth(busy):
    b = busy.b
    busy.ip("link", "set", b.device, "address", "02:00:00:00:00:77", "mtu", "1300")
    busy.sysctl(f"net/ipv4/conf/{b.device}/forwarding", 1)
    busy.sysctl(f"net/ipv6/conf/{b.device}/accept_ra", 1)
    found_and_mended(busy, *of(b, f"MAC of {b.device}", f"MTU of {b.device}", f"net/ipv4/conf/{b.device}/forwarding",
                               f"net/ipv6/conf/{b.device}/accept_ra",
                               # with another MAC a device forgets them, those that are permanent, too
                               f"neighbour {b.address} on the host", f"neighbour {b.address6} on the host"))


def test_veth_deleted(busy):
    """The namespace and what runs in it stay."""
    b = busy.b
    sleeper, device = b.popen("sleep", "60"), b.device
    busy.ip("link", "del", device)
    assert findings(checked(busy, code=DRIFT)) == of(b, f"device {device}")
    checked(busy, "--repair", code=0)
    assert checked(busy, code=0)["findings"] == []
    assert sleeper.poll() is None and b.ping(OUTSIDE_ADDRESS).returncode == 0


def test_namespace_gone(host):
    a = host.add("a")
    host.run("ip", "netns", "del", a.name)
    for options in ([], ["--repair"]):
        found = checked(host, *options, code=DRIFT)
        assert findings(found) == of(a, "namespace")
        assert f"nsbpf add {a.name}" in found["findings"][0]["remedy"]
    host.nsbpf("add", a.name)
    assert checked(host, code=0)["findings"] == []


# the host
def test_host(busy):
    busy.sysctl("net.ipv4.conf.lo.forwarding", 0)
    busy.sysctl("net.ipv6.conf.lo.forwarding", 0)
    busy.sysctl("net.ipv4.ip_forward_use_pmtu", 0)
    busy.add_address("fe80::77/64", "up0")  # nobody cares
    busy.add_address("203.0.113.99/32", "up0")
    found_and_mended(busy, ("host", "net/ipv4/conf/lo/forwarding"), ("host", "net/ipv6/conf/lo/forwarding"),
                     ("host", "net/ipv4/ip_forward_use_pmtu"), ("host", "addresses in the datapath"))
    busy.ip("address", "del", "203.0.113.99/32", "dev", "up0")
    found_and_mended(busy, ("host", "addresses in the datapath"))


def test_nat_ports(busy):
    before = busy.sysctl("net.ipv4.ip_local_port_range")
    for ports in ("20000 30000", before):
        busy.sysctl("net.ipv4.ip_local_port_range", ports)
        found_and_mended(busy, ("host", "NAT ports"))


def test_networks(busy):
    gateway6 = next(network["gateway6"] for network in busy.json("network", "list") if network["name"] == "lab")
    subnet6 = next(network["subnet6"] for network in busy.json("network", "list") if network["name"] == "lab")
    busy.ip_batch("route del unreachable 192.0.2.0/24", f"route del unreachable {subnet6}",
                  f"address del {gateway6}/128 dev lo")
    found = checked(busy, code=DRIFT)
    assert set(findings(found)) - {("host", "addresses in the datapath")} == {
        ("network lab", "unreachable route 192.0.2.0/24"), ("network lab", f"unreachable route {subnet6}"),
        ("network lab", f"gateway {gateway6} on lo")}
    checked(busy, "--repair", code=0)
    assert checked(busy, code=0)["findings"] == []


def test_uplinks(busy):
    busy.connect(busy, "up1", busy.machine("m"), "m0")
    busy.ip("route", "add", "default", "dev", "up1", "metric", "500")
    found_and_mended(busy, ("uplink up1", "record"))
    busy.ip("link", "del", "up1")
    found_and_mended(busy, ("uplink up1", "device"))
    busy.ip("address", "replace", f"{HOST_ADDRESS}/24", "dev", "up0")
    assert checked(busy, code=0)["findings"] == []


def test_address_of_an_uplink(host):
    host.add("a")
    host.ip_batch(f"address del {HOST_ADDRESS}/24 dev up0", "address add 198.51.100.7/24 dev up0",
                  f"route add default via {OUTSIDE_ADDRESS}")
    found = checked(host, code=DRIFT)
    assert findings(found) == [("host", "addresses in the datapath"), ("uplink up0", "addresses in the datapath")]
    assert (found["findings"][0]["is"], found["findings"][1]["should"], found["findings"][1]["is"]) == (
        f"without 198.51.100.7, with {HOST_ADDRESS}", f"198.51.100.7, {HOST_ADDRESS6}", f"{HOST_ADDRESS}, {HOST_ADDRESS6}")
    checked(host, "--repair", code=0)
    assert checked(host, code=0)["findings"] == []


# what is left of something
def test_strays(busy):
    busy.connect(busy, "lost", busy.machine("l"), "l0")
    busy.ip_batch("link set lost alias 'nsbpf endpoint lost'", "route add unreachable 10.123.0.0/16 proto 78")
    found_and_mended(busy, ("host", "device lost"), ("host", "unreachable route 10.123.0.0/16"))


def test_strays_of_a_host_that_is_gone(host):
    """Its pins were removed, and with them all records."""
    a = host.add("a")
    device = a.device
    shutil.rmtree(host.pin_directories()[0])
    found = checked(host, code=DRIFT)
    assert findings(found)[0] == ("host", f"device {device}") and len(findings(found)) == 4
    assert host.nsbpf("check", "--repair").stdout.endswith("(repaired)\nnothing runs here\n")
    golden("check-nothing", host.nsbpf("check").stdout)
    assert host.ip_json("link", "show", "type", "veth")[0]["ifname"] == "up0"


# pins
def test_pins(busy):
    pins = busy.pin_directories()[0]
    for pin in ("maps/traffic", "maps/settings", "maps/packets_heard", "programs/from_uplink"):
        os.unlink(f"{pins}/{pin}")
    found = checked(busy, code=DRIFT)
    assert ("host", "maps/settings") in findings(found)
    assert busy.nsbpf("list", check=False).returncode == 2
    found = checked(busy, "--repair", code=0)
    assert sorted(findings(found)) == [("host", "maps/packets_heard"), ("host", "maps/settings"),
                                       ("host", "maps/traffic"), ("host", "programs/from_uplink")]
    assert checked(busy, code=0)["findings"] == []
    assert busy.session.ask("still there") and len(busy.json("list")) == 2


def test_a_program_that_nobody_else_holds(host):
    host.add("a")
    os.unlink(f"{host.pin_directories()[0]}/programs/end_connection")
    for options in ([], ["--repair"]):
        found = checked(host, *options, code=DRIFT)
        assert findings(found) == [("host", "programs/end_connection")]
        assert "nsbpf down" in found["findings"][0]["remedy"]


def test_socket_hooks_gone(host):
    """Their programs are gone with them, and are loaded once more."""
    a = host.add("a")
    host.nsbpf("expose", a.name, "8080:80")
    server = a.tcp_echo(80)
    assert "client" in host.tcp("127.0.0.1", 8080)
    for hook in ("host_connect4", "host_recvmsg6"):
        os.unlink(f"{host.pin_directories()[0]}/links/{hook}")
    assert "error" in host.tcp("127.0.0.1", 8080)
    found = checked(host, code=DRIFT)
    assert findings(found) == [("host", "hooks of its sockets")]
    assert found["findings"][0]["is"] == "without host_connect4, host_recvmsg6"
    checked(host, "--repair", code=0)
    assert "client" in host.tcp("127.0.0.1", 8080)
    assert checked(host, code=0)["findings"] == []
    server.stop()


# the tables of connections
def test_counters(busy):
    usage = maps.entry(busy, "usage", SLOT)
    maps.write(busy, "usage", SLOT, struct.pack("=II", usage["connections"] + 5, usage["ports"] + 1))
    found_and_mended(busy, *of(busy.a, "count of connections", "count of NAT ports"))
    assert maps.entry(busy, "usage", SLOT) == usage


def test_users_of_a_nat_port(busy):
    port = busy.session.ask("who am I")["port"]
    number = (1 << 16) + port  # UDP's of the first address
    word = int(maps.entry(busy, "nat_ports", number))
    maps.write(busy, "nat_ports", number, struct.pack("=Q", word + (2 << 32)))
    found_and_mended(busy, (f"NAT port udp/{port} of address 0", "connections"))
    assert int(maps.entry(busy, "nat_ports", number)) == word


def test_a_place_is_lost(busy):
    pressure = maps.entry(busy, "pressure")
    block, word = divmod(pressure["taken"] % ROOM, 8)
    words = maps.entry(busy, "places", block)["words"]
    lost = words[word]
    words[word] = lost + 1  # free twice, then
    maps.write(busy, "places", block, struct.pack("=8I", *words))
    found = checked(busy, code=DRIFT)
    assert sorted(findings(found)) == sorted([("places of connections", f"place {lost}"),
                                              ("places of connections", f"place {lost + 1}")])
    words[word] = lost
    maps.write(busy, "places", block, struct.pack("=8I", *words))
    assert checked(busy, code=0)["findings"] == []


def test_a_direction_is_lost(busy):
    """It is a connection no more: it is ended, and the next packet opens another."""
    with busy.b.udp_session(OUTSIDE_ADDRESS, busy.server.port) as session:
        assert session.ask("hello")
        connections = maps.values(busy, "connections")
        place, conn = next((place, conn) for place, conn in enumerate(connections, 1) if conn["endpoint"] == SLOT + 1
                           and conn["tuples"][0]["proto"] == socket.IPPROTO_UDP)
        word = conn["tags"][1] << 32 | place << 1 | 1
        number, bucket = next((number, bucket) for number, bucket in enumerate(maps.values(busy, "conn_index"))
                              if word in bucket["words"])
        words = [0 if other == word else other for other in bucket["words"]]
        maps.write(busy, "conn_index", number, struct.pack("=II7Q", 0, bucket["elsewhere"], *words))
        found = checked(busy, code=DRIFT)
        (name, what), = findings(found)
        assert name.startswith(f"connection udp {busy.b.address}:") and what == "reply in the index"
        found = checked(busy, "--repair", code=0)
        assert [finding["repaired"] for finding in found["findings"]] == [True]
        assert session.ask("once more")
    assert checked(busy, code=0)["findings"] == []


def test_nobody_is_accused_while_connections_come_and_go(busy):
    before = maps.entry(busy, "pressure")["taken"]
    flows = busy.b.popen(PYTHON, "-c", FLOWS, OUTSIDE_ADDRESS)
    wait_for(lambda: maps.entry(busy, "pressure")["taken"] - before > 100)
    for _ in range(5):
        assert checked(busy, code=0)["findings"] == []
    flows.kill()
    flows.wait()
    assert maps.entry(busy, "pressure")["taken"] - before > 500


def test_nor_while_they_do_by_a_single_port(busy):
    scanner = busy.add("c", "--max-connections", "20")
    before = maps.entry(busy, "pressure")["taken"]
    scan = scanner.popen(PYTHON, "-c", SCAN, OUTSIDE_ADDRESS)
    wait_for(lambda: maps.entry(busy, "pressure")["taken"] - before > 1000)
    for _ in range(20):
        assert checked(busy, code=0)["findings"] == []
    scan.kill()
    scan.wait()
    busy.nsbpf("del", scanner.name)


def test_packets_are_not_hurt(busy):
    """Ten datagrams a look, all answered, while everything about their endpoint is being mended."""
    a = busy.a
    for _ in range(3):
        busy.sysctl(f"net/ipv4/conf/{a.device}/forwarding", 1)
        busy.run("tc", "qdisc", "del", "dev", a.device, "clsact")
        busy.ip("neigh", "del", a.address, "dev", a.device)
        begun = time.monotonic()
        checked(busy, "--repair", code=0)
        assert time.monotonic() - begun < 5
        for number in range(10):
            assert busy.session.ask(f"{number}")
