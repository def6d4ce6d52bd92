# SPDX-License-Identifier: GPL-2.0-only
"""set and get: what a host begins with, values in all spellings, and that the datapath goes by them at once."""
import glob
import json
import os
import re
import time

import maps
import pytest
import snapshot
from golden import golden
from topology import OUTSIDE_ADDRESS, TOP, wait_for

# The defaults of nat conformance: RFC 4787, 5382, 5508, 6888, 7857. (default, what the RFC asks for at least)
DEFAULTS = {"timeout.tcp-syn": (240, 240), "timeout.tcp-established": (7440, 7440), "timeout.tcp-fin": (7440, 240),
            "timeout.tcp-closing": (240, 240), "timeout.tcp-reset": (240, 240), "timeout.udp": (300, 120),
            "timeout.icmp": (60, 60), "timeout.fragment": (30, None), "timeout.port": (120, 120),
            "inbound-refresh": (True, None), "connections": (65536, None), "max-connections": (None, None),
            "nat-ports": (None, None)}
TIMES = [name for name in DEFAULTS if name.startswith("timeout.")]
DAY = 24 * 60 * 60
NO_INBOUND_REFRESH = 1


def settings(host):
    return {entry["name"]: entry for entry in host.json("get")}


def value(host, name):
    return host.json("get", name)["value"]


def test_defaults(host):
    """Also where nothing runs, as what the next `add` begins with."""
    before = snapshot.take(host)
    for _ in range(2):
        listed = host.json("get")
        assert [entry["name"] for entry in listed] == list(DEFAULTS)
        for entry in listed:
            assert set(entry) == {"name", "value", "default", "floor", "rfc", "text"}
            assert (entry["default"], entry["floor"]) == DEFAULTS[entry["name"]]
            assert entry["value"] == entry["default"] and isinstance(entry["value"], type(entry["default"]))
            assert entry["text"] and (entry["rfc"] or entry["floor"] is None)
            assert host.json("get", entry["name"]) == entry
        if host.json()["host"]["running"] is False:
            assert snapshot.difference(before, snapshot.take(host)) == [], "looking makes nothing"
        host.add("a")


def test_the_datapath_has_them(host):
    """What the programs read, by the words of include/nsbpf/types.h, and the unit of it all."""
    host.add("a")
    host.nsbpf("set", "timeout.icmp", "61")
    host.nsbpf("set", "inbound-refresh", "off")
    words = maps.entry(host, "settings")
    assert words["timeouts"] == [240, 7440, 7440, 240, 240, 300, 61, 30, 120]
    assert (words["second"], words["flags"] & NO_INBOUND_REFRESH) == (954, 1)
    host.nsbpf("set", "inbound-refresh", "on")
    assert maps.entry(host, "settings")["flags"] & NO_INBOUND_REFRESH == 0


def test_times(host):
    host.add("a")
    for name in TIMES:
        check_time(host, name)


def check_time(host, name):
    others = {key: entry for key, entry in settings(host).items() if key != name}
    for text, seconds in (("1", 1), ("1d" if name != "timeout.port" else "1h", DAY if name != "timeout.port" else 3600),
                          ("3599s", 3599), ("59m", 59 * 60), ("1h", 3600), ("1000", 1000)):
        host.nsbpf("set", name, text)
        assert value(host, name) == seconds
        assert host.nsbpf("get", name).stdout == f"{seconds}s\n"
        assert host.nsbpf("set", name, f"{seconds}s").stdout == "unchanged\n"
    host.nsbpf("set", name, "default")
    assert value(host, name) == DEFAULTS[name][0]
    assert host.nsbpf("set", name, "default").stdout == "unchanged\n"
    assert {key: entry for key, entry in settings(host).items() if key != name} == others


def test_longest_times(host):
    """The clock has 32 bits, that of freed NAT ports 16: the longest times are those that it can tell."""
    host.add("a")
    for name in TIMES:
        longest = 3600 if name == "timeout.port" else 24 * DAY
        host.nsbpf("set", name, longest)
        assert value(host, name) == longest
        refused = host.nsbpf("set", name, longest + 1, check=False)
        assert refused.returncode == 1 and ("1h" if name == "timeout.port" else "24d") in refused.stderr


def test_switch(host):
    host.add("a")
    assert value(host, "inbound-refresh") is True
    for text in ("off", "on"):
        done = host.nsbpf("set", "inbound-refresh", text)
        assert (done.stdout, done.stderr) == ("", "")
        assert host.nsbpf("get", "inbound-refresh").stdout == f"{text}\n"
        assert value(host, "inbound-refresh") is (text == "on")
        assert host.nsbpf("set", "inbound-refresh", text).stdout == "unchanged\n"


def test_less_than_the_rfc_asks_for(host):
    """Done, but not without a word."""
    host.add("a")
    for name in TIMES:
        if DEFAULTS[name][1]:
            check_floor(host, name, DEFAULTS[name][1])


def check_floor(host, name, floor):
    done = host.nsbpf("set", name, floor - 1)
    assert re.fullmatch(rf"{name}: {floor - 1}s is less than the {floor}s that RFC \d+ .* asks for\n", done.stdout)
    assert done.stderr == ""
    assert value(host, name) == floor - 1
    told = host.json("set", name, floor - 2)
    assert told == {"changed": True, "warning": told["warning"]} and f"{floor}s" in told["warning"]
    assert host.json("set", name, floor - 2) == {"changed": False, "warning": None}
    assert host.json("set", name, floor) == {"changed": True, "warning": None}
    assert host.nsbpf("set", name, floor + 1).stdout == ""


def test_listing_for_people(host):
    host.add("a")
    host.nsbpf("set", "timeout.udp", "10m")
    host.nsbpf("set", "inbound-refresh", "off")
    rows = {line.split()[0]: line.split()[1:4] for line in host.nsbpf("get").stdout.splitlines()}
    assert rows.pop("NAME") == ["VALUE", "DEFAULT", "FLOOR"]
    assert rows == {"timeout.tcp-syn": ["240s", "240s", "240s"], "timeout.tcp-established": ["7440s", "7440s", "7440s"],
                    "timeout.tcp-fin": ["7440s", "7440s", "240s"], "timeout.tcp-closing": ["240s", "240s", "240s"],
                    "timeout.tcp-reset": ["240s", "240s", "240s"], "timeout.udp": ["600s", "300s", "120s"],
                    "timeout.icmp": ["60s", "60s", "60s"], "timeout.fragment": ["30s", "30s", "-"],
                    "timeout.port": ["120s", "120s", "120s"], "inbound-refresh": ["off", "on", "-"],
                    "connections": ["65536", "65536", "-"], "max-connections": ["auto", "auto", "-"],
                    "nat-ports": ["auto", "auto", "-"]}


def test_texts(host):
    golden("get-nothing", host.nsbpf("get").stdout)
    golden("help-set", host.nsbpf("help", "set").stdout)
    host.add("a")
    for name, text in (("timeout.udp", "10m"), ("max-connections", "5000"), ("nat-ports", "20000-29999")):
        host.nsbpf("set", name, text)
    golden("get", host.nsbpf("get").stdout)


def test_nothing_to_set(host):
    """Nothing runs: the text names the way out, and nothing is made."""
    before = snapshot.take(host)
    refused = host.nsbpf("set", "timeout.udp", "10m", check=False)
    assert refused.returncode == 3 and refused.stdout == ""
    assert "nsbpf add" in refused.stderr and len(refused.stderr.splitlines()) == 1
    assert snapshot.difference(before, snapshot.take(host)) == []


@pytest.mark.parametrize("room", [8192, 131072])
def test_room_for_connections(host, room):
    """Set before anything else, which begins a host; it gets no smaller until `down`. (Larger: test_grow.py.)"""
    assert host.nsbpf("set", "connections", room).stdout == ""
    assert value(host, "connections") == host.json()["connections"]["max"] == room
    assert host.nsbpf("get", "connections").stdout == f"{room}\n"
    a = host.add("a")
    host.outside.udp_echo(7001)
    assert a.udp(OUTSIDE_ADDRESS, 7001)["data"] == "hello"
    assert host.json()["connections"]["count"] == 1
    assert maps.size(host, "connections") == room and maps.size(host, "traffic") == 2 * room
    before = snapshot.take(host)
    assert host.nsbpf("set", "connections", room).stdout == "unchanged\n"
    if room > 8192:
        refused = host.nsbpf("set", "connections", room // 2, check=False)
        assert refused.returncode == 4 and refused.stdout == ""
        assert f"is {room}" in refused.stderr and "nsbpf down" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
    assert snapshot.difference(before, snapshot.take(host)) == []
    assert a.udp(OUTSIDE_ADDRESS, 7001)["data"] == "hello"
    host.nsbpf("down")
    assert value(host, "connections") == 65536


def test_they_last_as_long_as_the_host_runs(host):
    a = host.add("a")
    host.nsbpf("set", "timeout.udp", "10m")
    host.nsbpf("set", "inbound-refresh", "off")
    host.add("b")
    host.nsbpf("expose", a.name, "5000")
    host.nsbpf("network", "add", "blue", "--subnet", "172.20.0.0/24")
    host.nsbpf("del", a.name)
    host.nsbpf("del", host.name("b"))
    assert (value(host, "timeout.udp"), value(host, "inbound-refresh")) == (600, False)
    host.nsbpf("down")
    host.add("a")
    assert (value(host, "timeout.udp"), value(host, "inbound-refresh")) == (300, True)


@pytest.mark.attach
def test_live(host, family):
    """Connections that were there before end by the new times as well, and others go on."""
    a = host.add("a")
    host.outside.udp_echo(7000, address=family.any)
    host.outside.tcp_echo(7001, address=family.any)
    talk = a.tcp_session(family.far, 7001)
    silent = a.tcp_session(family.far, 7001)
    asked = a.udp_session(family.far, 7000)
    assert [session.ask("one")["peer"] for session in (talk, silent, asked)] == [family.host] * 3
    assert connections(host) == 3
    host.nsbpf("set", "timeout.udp", "1s")
    wait_for(lambda: connections(host) == 2, timeout=3)
    host.nsbpf("set", "timeout.tcp-established", "1h")
    assert talk.ask("two")["data"] == "two" and connections(host) == 2
    host.nsbpf("set", "timeout.tcp-established", "2s")
    end = time.monotonic() + 3
    while time.monotonic() < end:
        assert talk.ask("three")["data"] == "three"
    assert connections(host) == 1
    assert asked.ask("four")["data"] == "four"
    wait_for(lambda: connections(host) == 0, what="all end when nothing is said any more")


def quota_drops(host):
    return host.json()["drops"]["quota"]


def test_usual_quota(host, family):
    """Of endpoints that have none of their own; those that have keep it."""
    host.outside.udp_echo(7000, address=family.any)
    a, own = host.add("a"), host.add("own", "--max-connections", "3")
    assert host.nsbpf("set", "max-connections", 2).stdout == ""
    assert host.nsbpf("get", "max-connections").stdout == "2\n" and value(host, "max-connections") == 2
    assert host.nsbpf("set", "max-connections", 2).stdout == "unchanged\n"
    for endpoint, most in (a, 2), (own, 3):
        before = quota_drops(host)
        sessions = [endpoint.udp_session(family.far, 7000) for _ in range(most)]
        assert all(session.ask("one")["data"] == "one" for session in sessions)
        assert "error" in endpoint.udp(family.far, 7000)
        assert quota_drops(host) == before + 1
        assert endpoint.info["connections"] == most
    host.nsbpf("set", "max-connections", "auto")
    assert value(host, "max-connections") is None and a.udp(family.far, 7000)["data"] == "hello"


def nat_ports(host):
    return [(part["first"], part["last"]) for part in maps.entry(host, "settings")["nat_ports"]]


def test_nat_ports(host, family):
    """New connections take theirs from the range; those that are there keep what they have."""
    for serve in (host.outside.udp_echo, host.outside.tcp_echo):
        serve(7000, address=family.any)
    a = host.add("a")
    sessions = [a.udp_session(family.far, 7000), a.tcp_session(family.far, 7000)]
    before = [session.ask("one")["port"] for session in sessions]
    automatic = nat_ports(host)
    assert host.nsbpf("set", "nat-ports", "20000-20063").stdout == ""
    assert host.nsbpf("get", "nat-ports").stdout == "20000-20063\n" and value(host, "nat-ports") == "20000-20063"
    assert host.nsbpf("set", "nat-ports", "20000-20063").stdout == "unchanged\n"
    assert [session.ask("two")["port"] for session in sessions] == before
    for ask in a.udp, a.tcp:
        assert all(20000 <= ask(family.far, 7000)["port"] <= 20063 for _ in range(10))
    host.add("b")
    assert nat_ports(host) == [(20000, 20063), (1, 0)], "a refresh leaves them"
    host.nsbpf("set", "nat-ports", "auto")
    assert nat_ports(host) == automatic and value(host, "nat-ports") is None


BAD = {"nat-ports": ("a range of ports from 1024 to 65535",
                     ("", "on", "1023-2000", "0-2000", "2000", "2000-1999", "60000-65536", "-", "2000-",
                      "2000-3000-4000", "1e3-2000", "000000000002000-3000")),
       "max-connections": ("auto or a number from 1 to 4194304", ("0", "", "4194305", "5k", "on", "2 ", "1.5")),
       "connections": ("a power of two from 8192 to 4194304",
                       ("0", "4096", "8191", "100000", "8388608", "64k", "8192s", "0x2000", "", "on", "auto"))}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("running", [True, False], ids=["running", "empty"])
def test_no_such_value(host, name, running):
    wanted, values = BAD[name]
    if running:
        host.add("a")
    before = snapshot.take(host)
    for text in values:
        refused = host.nsbpf("set", name, text, check=False)
        assert refused.returncode == 1 and wanted in refused.stderr
        assert len(refused.stderr.splitlines()) == 1 and refused.stdout == ""
    assert snapshot.difference(before, snapshot.take(host)) == []


def test_ports_of_the_hosts_own_connections(host):
    """Code 4, and why; with another ip_local_port_range it may."""
    host.add("a")
    for words in "30000-40000", "60999-61000", "1024-65535", "40000-40001":
        refused = host.nsbpf("set", "nat-ports", words, check=False)
        assert refused.returncode == 4 and "32768-60999 (net.ipv4.ip_local_port_range)" in refused.stderr
        assert value(host, "nat-ports") is None
    host.sysctl("net.ipv4.ip_local_port_range", "50000 60999")
    host.nsbpf("set", "nat-ports", "30000-40000")
    assert nat_ports(host) == [(30000, 40000), (1, 0)]


def connections(host):
    return host.json()["connections"]["count"]


def test_help_and_documents_know_every_name(host):
    def read(path):
        with open(path, encoding="utf-8") as file:
            return file.read().replace("\\", "")

    texts = {"help set": host.nsbpf("help", "set").stdout, "help get": host.nsbpf("help", "get").stdout,
             "manual": "".join(map(read, glob.glob(os.path.join(TOP, "docs", "nsbpf*.8"))))}
    for where, text in texts.items():
        for name, (default, _) in DEFAULTS.items():
            shown = {True: "on", None: "auto", 65536: "65536"}.get(default, f"{default}s")
            assert re.search(rf"{re.escape(name)}(\n| .*\(){shown}\b", text), f"{where}: {name} is not {shown}"


def test_errors_as_json(host):
    host.add("a")
    for command in (["set", "timeout.udp", "never"], ["set", "timeout.sctp", "60"], ["get", "timeout.sctp"]):
        done = host.nsbpf(*command, "-j", check=False)
        assert done.returncode == 1 and json.loads(done.stderr)["error"]["code"] == 1
