# SPDX-License-Identifier: GPL-2.0-only
"""`nsbpf doctor`: what it says of a host on which nothing runs, of a busy one, and of one that has something wrong.

One busy host for all that can be made wrong and right again: each test looks for one diagnosis more than before.
"""
import json
import os
import re
import struct

import maps
import pytest
from golden import golden
from processes import PYTHON
from topology import ETC_NETNS, NSBPF, OUTSIDE_ADDRESS, OUTSIDE_LINK_LOCAL, Host, run, wait_for

PROBLEM = 5


@pytest.fixture(scope="module")
def busy():
    with Host() as host:
        host.a = host.add("a", "--max-connections", "100", "--dns", "192.0.2.53")
        yield host


def diagnosed(host):
    done = host.nsbpf("doctor", "-j", check=False)
    assert done.stderr == "" and done.returncode in (0, PROBLEM)
    found = json.loads(done.stdout)
    assert set(found) == {"ok", "problems", "warnings", "diagnoses"}
    levels = [diagnosis["level"] for diagnosis in found["diagnoses"]]
    assert set(levels) <= {"ok", "note", "warning", "problem"}
    assert (found["problems"], found["warnings"]) == (levels.count("problem"), levels.count("warning"))
    assert found["ok"] == (done.returncode == 0) == (not found["problems"])
    assert all(set(diagnosis) == {"level", "subject", "text", "why", "fix"} for diagnosis in found["diagnoses"])
    return found["diagnoses"]


def bad(host):
    """Warnings and problems; what this machine itself has to do with them is left out."""
    return {(diagnosis["level"], diagnosis["subject"], diagnosis["text"]): diagnosis for diagnosis in diagnosed(host)
            if diagnosis["level"] in ("warning", "problem")
            and diagnosis["subject"] not in ("kernel", "kernel config", "bpf", "cgroup2", "sysctl", "features")}


def the_only(host, level, subject, text):
    (key, diagnosis), = bad(host).items()
    assert key[:2] == (level, subject) and re.search(text, key[2]), key
    assert diagnosis["why"]
    return diagnosis


def normal(text):
    """Without what is this machine's, or this version's."""
    text = re.sub(r"nsbpf [0-9.]+: (.*?)(, layout \d+)?\n", r"nsbpf: \1\n", text)
    own = "kernel|kernel config|bpf|btf|capabilities|bpffs|cgroup2|sysctl|features"
    return re.sub(rf"^(ok|note|warning|problem) +({own}): .*\n( {{9}}.*\n)*", "", text, flags=re.M)


def test_nothing_runs(host):
    golden("doctor-nothing", normal(host.nsbpf("doctor").stdout))
    assert bad(host) == {}
    subjects = {diagnosis["subject"] for diagnosis in diagnosed(host)}
    assert subjects >= {"kernel", "kernel config", "bpf", "btf", "capabilities", "bpffs", "cgroup2", "routes",
                        "uplink up0", "firewall"}
    assert host.pin_directories() == [], "looking makes nothing"


def test_all_is_well(busy):
    text = normal(busy.nsbpf("doctor").stdout)
    # What an endpoint's own stack has sent while it was being made may have been dropped.
    golden("doctor-well", re.sub(r"note     drops: .*no-endpoint.*\n +fix: .*\n", "", text))
    assert bad(busy) == {}


@pytest.mark.parametrize("words", [["web"], ["--repair"], ["--fix"]])
def test_bad_input(host, words):
    done = host.nsbpf("doctor", *words, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert json.loads(host.nsbpf("-j", "doctor", *words, check=False).stderr)["error"]["code"] == 1


def test_without_root(host, tmp_path):
    """As much as anybody may see."""
    copy = "/tmp/nsbpf-doctor-" + host.prefix
    run("install", "-m", "755", NSBPF, copy)
    try:
        done = host.run("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", copy, "-j", "doctor",
                        check=False)
    finally:
        os.unlink(copy)
    assert done.returncode == PROBLEM and done.stderr == ""
    found = {diagnosis["subject"]: diagnosis for diagnosis in json.loads(done.stdout)["diagnoses"]}
    assert found["capabilities"]["level"] == "problem" and found["capabilities"]["fix"] == "sudo nsbpf doctor"
    assert found["uplink up0"]["level"] == "ok" and found["routes"]["level"] == "ok"


def test_less_capabilities(host):
    done = host.run("setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin", NSBPF, "-j", "doctor",
                    check=False)
    assert done.returncode == PROBLEM
    assert any(diagnosis["subject"] == "capabilities" and "CAP_NET_ADMIN" in diagnosis["text"]
               for diagnosis in json.loads(done.stdout)["diagnoses"])


# the way out
def test_no_default_route(host):
    host.ip("route", "del", "default")
    host.ip("-6", "route", "del", "default")
    found = bad(host)
    assert {key[:2] for key in found} == {("warning", "routes"), ("problem", "uplinks")}
    assert found["problem", "uplinks", "there is none"]["fix"] == "nsbpf uplink add DEV"


def test_uplink(busy):
    busy.ip("link", "set", "up0", "mtu", "1400")
    fix = the_only(busy, "warning", f"endpoint {busy.a.name}", "MTU 1500 .*1400")["fix"]
    before = busy.a.info
    text, command = re.fullmatch("echo '(.*)' [|] nsbpf (.*)", fix).groups()
    busy.nsbpf(*command.split(), input=text + "\n")
    assert busy.a.info == {**before, "mtu": 1400}
    busy.nsbpf(*command.split(), input=text.replace("1400", "1500"))
    busy.ip("link", "set", "up0", "mtu", "1500")
    busy.outside.ip("link", "set", "wan0", "down")
    wait_for(lambda: busy.link("up0")["operstate"] != "UP")
    the_only(busy, "problem", "uplink up0", "no carrier")
    busy.outside.ip_batch("link set wan0 up", f"address replace {OUTSIDE_LINK_LOCAL}/64 dev wan0 nodad")
    wait_for(lambda: busy.link("up0")["operstate"] == "UP")
    assert bad(busy) == {}


def test_uplink_down(host):
    host.nsbpf("add", host.name("a"))
    host.ip("link", "set", "up0", "down")
    found = bad(host)
    assert found["problem", "uplink up0", "is down"]["fix"] == "ip link set up0 up"


def test_gateway_is_silent(busy):
    busy.ip("neigh", "replace", OUTSIDE_ADDRESS, "dev", "up0", "nud", "failed")
    the_only(busy, "problem", "routes", f"gateway {OUTSIDE_ADDRESS} on up0 does not answer")
    busy.ip("neigh", "del", OUTSIDE_ADDRESS, "dev", "up0")


def test_offloads(busy):
    busy.run("ethtool", "-K", "up0", "tso", "off")
    note, = [diagnosis for diagnosis in diagnosed(busy) if diagnosis["subject"] == "uplink up0"
             and diagnosis["level"] == "note"]
    assert note["text"] == "offload tso is off" and note["fix"] == "ethtool -K up0 tso on"
    busy.run(*note["fix"].split())
    assert bad(busy) == {}


def test_rp_filter(busy):
    busy.sysctl("net.ipv4.conf.up0.rp_filter", 1)
    assert any(diagnosis["text"] == "rp_filter is strict" for diagnosis in diagnosed(busy))
    busy.sysctl("net.ipv4.conf.up0.rp_filter", 0)


# others
def test_firewall(busy):
    busy.run("nft", "add table inet mine; add chain inet mine input "
                    "{ type filter hook input priority 0; policy drop; }")
    found = the_only(busy, "warning", "firewall", "chain input of nft table inet mine: 0 rules, policy drop")
    assert busy.a.ping(busy.a.info["gateway"], timeout=1).returncode != 0
    busy.run("sh", "-c", found["fix"])
    assert busy.a.ping(busy.a.info["gateway"]).returncode == 0
    assert "1 rule," in next(iter(bad(busy)))[2]
    busy.run("nft", "delete table inet mine")
    assert bad(busy) == {}


@pytest.mark.parametrize("attach", ["clsact"], indirect=True)
def test_other_programs(host):
    host.add("a")
    assert [diagnosis["text"] for diagnosis in diagnosed(host) if diagnosis["subject"] == "features"][0] == \
        "no TCX links (Linux 6.6)"
    host.run("tc", "filter", "add", "dev", "up0", "ingress", "pref", "1", "handle", "1", "protocol", "all", "bpf", "da",
             "object-pinned", f"{host.pin_directories()[0]}/programs/to_endpoint")
    found = the_only(host, "warning", "uplink up0", "tc filter bpf, priority 1 sees packets before from_uplink")
    assert "tc filter show dev up0 ingress" in found["fix"]
    host.run("tc", "filter", "del", "dev", "up0", "ingress", "pref", "1")
    assert bad(host) == {}


def test_a_way_that_is_no_uplink(busy):
    busy.connect(busy, "up1", busy.machine("m"), "m0")
    busy.ip("route", "add", "192.0.2.0/24", "dev", "up1")
    note, = [diagnosis for diagnosis in diagnosed(busy) if "up1" in diagnosis["text"]]
    assert note["level"] == "note" and note["fix"] == "nsbpf uplink add up1"
    busy.nsbpf(*note["fix"].split()[1:])
    assert "up1" not in [diagnosis["text"] for diagnosis in diagnosed(busy)]
    busy.nsbpf("uplink", "del", "up1")
    busy.ip("link", "del", "up1")


def test_resolver(busy):
    path = f"{ETC_NETNS}/{busy.a.name}/resolv.conf"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write("nameserver 127.0.0.53\n")
    the_only(busy, "warning", f"endpoint {busy.a.name}", "no server that it could reach")
    with open(path, "w", encoding="utf-8") as file:
        file.write("nameserver 127.0.0.53\nnameserver 192.0.2.53\n")
    assert bad(busy) == {}


# what runs
def test_drift(busy):
    busy.a.ip("route", "del", "default")
    (key, diagnosis), = bad(busy).items()
    assert key == ("problem", f"endpoint {busy.a.name}",
                   f"default route inside: should be via {busy.a.info['gateway']}, is missing")
    assert diagnosis["fix"] == "nsbpf check --repair"
    busy.nsbpf(*diagnosis["fix"].split()[1:])
    assert bad(busy) == {}


def test_a_new_address(busy):
    busy.add_address("203.0.113.99/32", "up0")
    found = the_only(busy, "warning", "host", "addresses in the datapath: .* without 203.0.113.99")
    busy.nsbpf(*found["fix"].split()[1:])
    assert bad(busy) == {}
    busy.ip("address", "del", "203.0.113.99/32", "dev", "up0")
    busy.nsbpf(*found["fix"].split()[1:])


def test_pin_gone(host):
    host.add("a")
    os.unlink(f"{host.pin_directories()[0]}/maps/drops")
    (key, diagnosis), = bad(host).items()
    assert key[:1] == ("problem",) and key[1].startswith("nsbpf ") and "maps/drops" in key[2]
    host.nsbpf(*diagnosis["fix"].split()[1:])
    assert bad(host) == {}


def test_exposed_ports(busy):
    busy.nsbpf("expose", busy.a.name, "8080:80")
    assert the_only(busy, "warning", "port tcp/8080", f"nobody listens on port 80 in {busy.a.name}")["fix"] == \
        f"nsbpf exec {busy.a.name} -- ss -ln"
    inside = [busy.a.tcp_echo(80), busy.a.udp_echo(40000)]
    busy.nsbpf("expose", busy.a.name, "40000/udp")
    note, = [diagnosis for diagnosis in diagnosed(busy) if diagnosis["subject"].startswith("port ")]
    assert (note["level"], note["subject"]) == ("note", "port udp/40000") and "ip_local_port_range" in note["text"]
    server = busy.tcp_echo(8080)
    found = the_only(busy, "warning", "port tcp/8080", f"exposed to {busy.a.name}, and pid .* serves it, too")
    server.stop()
    assert f"nsbpf unexpose {busy.a.name} " in found["fix"]
    assert bad(busy) == {}
    for agent in inside:
        agent.stop()
    assert {key[:2] for key in bad(busy)} == {("warning", "port tcp/8080"), ("warning", "port udp/40000")}
    for ports in ("8080", "40000/udp"):
        busy.nsbpf("unexpose", busy.a.name, ports)


def test_many_alike(busy):
    """Ten of a kind are told, of the others how many they are."""
    for port in range(7000, 7012):
        busy.nsbpf("expose", busy.a.name, f"{port}:81")
    found = bad(busy)
    assert len(found) == 11 and ("warning", "ports", "2 more exposed ports behind which nobody listens") in found
    for port in range(7000, 7012):
        busy.nsbpf("unexpose", busy.a.name, f"{port}:81")
    assert bad(busy) == {}


def test_tables_are_full(busy):
    """By their counters, which is what it looks at."""
    before = maps.entry(busy, "usage", 1), maps.entry(busy, "usage", 0)
    for slot, count in ((1, 90), (0, 60000)):
        maps.write(busy, "usage", slot, struct.pack("=II", count, 0))
    found = bad(busy)
    assert found["warning", "connections", "60000 of 65536 (91 %)"]["fix"] == "nsbpf set connections 131072"
    assert ("warning", f"endpoint {busy.a.name}", "has 90 of the 100 connections that it may have") in found
    for slot, usage in enumerate(reversed(before)):
        maps.write(busy, "usage", slot, struct.pack("=II", usage["connections"], usage["ports"]))
    assert bad(busy) == {}


def test_growth_was_killed(busy):
    pressure = maps.entry(busy, "pressure")
    fields = ("opened", "examined", "gave_way", "overlaps", "held", "scanned", "taken", "given")
    values = [pressure[field] for field in fields]
    maps.write(busy, "pressure", 0, struct.pack("=IIQQ4III", *values, 1, 0))
    assert the_only(busy, "problem", "connections", "none begins or ends")["fix"] == "nsbpf check --repair"
    busy.nsbpf("check", "--repair")
    assert bad(busy) == {} and maps.entry(busy, "pressure")["frozen"] == 0


def test_settings(busy):
    busy.nsbpf("set", "max-connections", "10")
    busy.b = busy.add("b")
    maps.write(busy, "usage", 2, struct.pack("=II", 9, 0))
    found = {key[1:]: diagnosis["fix"] for key, diagnosis in bad(busy).items()}
    assert found[f"endpoint {busy.b.name}", "has 9 of the 10 connections that it may have"] == \
        "nsbpf set max-connections 20"
    maps.write(busy, "usage", 2, bytes(8))
    busy.nsbpf("set", "nat-ports", "20000-29999")
    before = busy.sysctl("net.ipv4.ip_local_port_range")
    busy.sysctl("net.ipv4.ip_local_port_range", "25000 30000")
    assert the_only(busy, "warning", "NAT ports", "cannot use ports 20000-29999")["fix"] == "nsbpf set nat-ports auto"
    busy.sysctl("net.ipv4.ip_local_port_range", before)
    assert bad(busy) == {}


def test_drops_are_told(busy):
    busy.a.run("ping", "-c1", "-W1", "-I", "127.0.0.1", OUTSIDE_ADDRESS, check=False)
    busy.a.run(PYTHON, "-c", "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 253)"
                             f".sendto(b'x', ('{OUTSIDE_ADDRESS}', 0))")
    assert any(diagnosis["subject"] == "drops" and "protocol" in diagnosis["text"] for diagnosis in diagnosed(busy))
