# SPDX-License-Identifier: GPL-2.0-only
"""`nsbpf conntrack list`, `get`, `count` and `stats`: connections as text and as JSON, and every filter; on a busy host,
an empty one and one that somebody has broken by hand. Deleting: test_conntrack_delete.py."""
import json
import os
import re

import pytest
from golden import golden
from nat import udp_peer
from topology import HOST_ADDRESS, HOST_ADDRESS6, OUTSIDE_ADDRESS, OUTSIDE_FAR, OUTSIDE_FAR6, Host, wait_for

USAGE, SYSTEM, MISSING = 1, 2, 3
TCP, UDP, EXPOSED = 7000, 7001, 8080  # ports that somebody serves
NOWHERE = "192.0.2.9"
PING, PING6 = 77, 78  # identifiers
IP_UDP = 28           # bytes of both headers


def ping(endpoint, address, number):
    endpoint.run("ping", "-n", "-c", "1", "-W", "2", "-e", number, address)


@pytest.fixture(scope="module")
def busy():
    """One connection of each kind, by name in host.opened: what its client's end is."""
    with Host() as host:
        a, b = host.a, host.b = host.add("a"), host.add("b")
        host.outside.ip("route", "add", "blackhole", "192.0.2.0/24")
        host.outside.tcp_echo(TCP)
        host.outside.udp_echo(UDP)
        a.udp_echo(80)
        host.nsbpf("expose", a.name, f"{EXPOSED}:80/udp")
        host.tcp = a.tcp_session(OUTSIDE_FAR, TCP, source_port=40000)
        host.udp = a.udp_session(OUTSIDE_FAR, UDP, source_port=40001)
        host.exposed = host.outside.udp_session(HOST_ADDRESS, EXPOSED, source_port=40002)
        for session in (host.tcp, host.udp, host.exposed):
            assert session.ask()["data"] == "hello"
        host.silent = b.agent(type(host.udp), "session", "udp", json.dumps({
            "address": NOWHERE, "port": 9, "source": None, "source_port": 40003, "timeout": 600, "connect": True}))
        host.silent.process.stdin.write("hello\n")
        host.silent.process.stdin.flush()
        ping(a, OUTSIDE_FAR, PING)
        ping(b, OUTSIDE_FAR6, PING6)
        wait_for(lambda: len(host.json("conntrack", "list")) == 6)
        yield host


def named(host, connections):
    """By what busy() opened: {name: connection}."""
    names = {("tcp", 40000): "tcp", ("udp", 40001): "udp", ("udp", 40002): "exposed", ("udp", 40003): "silent",
             ("icmp", PING): "ping", ("icmpv6", PING6): "ping6"}
    return {names[c["protocol"], c["original"]["source_port"] or c["original"]["id"]]: c for c in connections}


def listed(host, *words):
    return named(host, host.json("conntrack", "list", *words))


def as_golden(host, text):
    """Names and numbers that differ from run to run: times, NAT ports, and how often TCP acknowledged."""
    text = text.replace(host.a.address6, "A6").replace(host.b.address6, "B6")
    text = text.replace(host.a.name, "a").replace(host.b.name, "b")
    for connection in host.json("conntrack", "list"):
        if "snat" in connection["nat"]:
            reply = connection["reply"]
            port = reply["id"] or reply["destination_port"]
            text = re.sub(rf"((?:198\.51\.100|2001:db8:1::)\S* (?:sport=\d+ )?(?:dport|id))={port}\b", r"\1=NAT", text)
    text = re.sub(r"(?m)^(tcp .*? packets=)\d+ bytes=\d+(.* packets=)\d+ bytes=\d+", r"\1N bytes=N\2N bytes=N", text)
    text = re.sub(r"bytes=1[23]\d\b", "bytes=N", text)  # an echo that tells the NAT port
    return re.sub(r"(?m)^(\S+ +\S+) +\d+ ", r"\1 S ", text)


def test_text(busy):
    lines = as_golden(busy, busy.nsbpf("conntrack", "list").stdout).splitlines(keepends=True)
    golden("conntrack-list", "".join(sorted(lines)))  # by place, and two of them begin at once
    golden("conntrack-stats", busy.nsbpf("conntrack", "stats").stdout)


def test_json(busy):
    found = listed(busy)
    a, b = busy.a, busy.b
    assert set(found) == {"tcp", "udp", "exposed", "silent", "ping", "ping6"}
    for c in found.values():
        assert set(c) == {"protocol", "state", "left", "endpoint", "replied", "assured", "nat", "original", "reply"}
    assert {name: (c["state"], c["endpoint"], c["replied"], c["assured"], c["nat"]) for name, c in found.items()} == {
        "tcp": ("tcp-established", a.name, True, True, ["snat"]), "udp": ("udp", a.name, True, True, ["snat"]),
        "exposed": ("udp", a.name, True, True, ["dnat"]), "silent": ("udp", b.name, False, False, ["snat"]),
        "ping": ("icmp", a.name, True, True, ["snat"]), "ping6": ("icmp", b.name, True, True, ["snat"])}
    timeouts = {setting["name"]: setting["value"] for setting in busy.json("get")}
    for c in found.values():
        assert timeouts[f"timeout.{c['state']}"] - 60 < c["left"] <= timeouts[f"timeout.{c['state']}"]
    assert found["udp"]["original"] == {
        "source": a.address, "source_port": 40001, "destination": OUTSIDE_FAR, "destination_port": UDP, "id": None,
        "packets": 1, "bytes": IP_UDP + len("hello")}
    reply = found["udp"]["reply"]
    assert (reply["source"], reply["source_port"], reply["destination"]) == (OUTSIDE_FAR, UDP, HOST_ADDRESS)
    assert reply["destination_port"] == busy.udp.ask()["port"], "the port that the server sees"
    assert reply["packets"] == 1 and reply["bytes"] > IP_UDP
    exposed = found["exposed"]
    assert (exposed["original"]["source"], exposed["original"]["destination"]) == (OUTSIDE_ADDRESS, HOST_ADDRESS)
    assert (exposed["reply"]["source"], exposed["reply"]["source_port"]) == (a.address, 80)
    ping6 = found["ping6"]
    assert (ping6["original"]["source"], ping6["reply"]["destination"]) == (b.address6, HOST_ADDRESS6)
    assert ping6["original"]["id"] == PING6 and ping6["original"]["source_port"] is None
    assert ping6["original"]["packets"] == ping6["reply"]["packets"] == 1


def test_bytes_and_seconds(busy):
    """They are as of now: one question more is counted, and another time-out counts at once."""
    def udp():
        return listed(busy, "-p", "udp", "--sport", "40001")["udp"]
    before = udp()
    busy.udp.ask("twice as long")
    after = udp()
    assert after["original"]["packets"] == before["original"]["packets"] + 1
    assert after["original"]["bytes"] == before["original"]["bytes"] + IP_UDP + len("twice as long")
    busy.nsbpf("set", "timeout.udp", "120")
    assert 0 < udp()["left"] <= 120, "a time-out that has changed is that of connections that are there, too"
    busy.nsbpf("set", "timeout.udp", "default")


def test_what_comes_from_outside(busy):
    """Seconds left go by the setting inbound-refresh, as the end does: packets that come in put it off, or do not."""
    sink = busy.a.udp_session(OUTSIDE_ADDRESS, 9, source_port=81)  # listens, and never answers
    busy.nsbpf("expose", busy.a.name, "8081:81/udp")
    client = udp_peer(busy.outside)

    def left():
        client.send(HOST_ADDRESS, 8081, "hello")
        shown = busy.json("conntrack", "list", "--dport", "8081")
        return shown[0]["left"] if shown and shown[0]["original"]["packets"] > 1 else None
    wait_for(lambda: left() == 299)
    busy.nsbpf("set", "inbound-refresh", "off")
    wait_for(lambda: left() < 298)
    busy.nsbpf("set", "inbound-refresh", "on")
    wait_for(lambda: left() == 299)
    busy.nsbpf("unexpose", busy.a.name, "8081:81/udp")
    sink.stop()


ALL = {"tcp", "udp", "exposed", "silent", "ping", "ping6"}
FILTERS = [
    ("", ALL), ("-p tcp", {"tcp"}), ("--proto=UDP", {"udp", "exposed", "silent"}), ("-p icmp", {"ping"}),
    ("-p icmpv6", {"ping6"}), ("-f ipv4", ALL - {"ping6"}), ("--family ipv6", {"ping6"}), ("-f ipv6 -p tcp", set()),
    ("-s A", {"tcp", "udp", "ping"}), ("--src 10.80.0.0/16", {"tcp", "udp", "silent", "ping"}), ("-s ::/0", {"ping6"}),
    ("-d 203.0.113.2", {"tcp", "udp", "ping"}), ("-d 192.0.2.0/24", {"silent"}), ("--dst 198.51.100.1", {"exposed"}),
    ("--sport 40001", {"udp"}), ("--dport 7000", {"tcp"}), ("--dport 0", set()), ("--sport 77", set()),
    ("--icmp-id 77", {"ping"}), ("--icmp-id 78", {"ping6"}), ("--icmp-id 0", set()), ("--icmp-id 40001", set()),
    ("--state established", {"tcp"}), ("--state TCP-Established", {"tcp"}), ("--state syn", set()),
    ("--state udp,tcp-established", {"tcp", "udp", "exposed", "silent"}), ("--state UNREPLIED", {"silent"}),
    ("--state assured", ALL - {"silent"}), ("--state icmp,unreplied", {"ping", "ping6", "silent"}),
    ("--endpoint ANAME", {"tcp", "udp", "exposed", "ping"}), ("--endpoint BNAME", {"silent", "ping6"}),
    ("--nat snat", ALL - {"exposed"}), ("--nat DNAT", {"exposed"}),
    ("-p udp -s A --dport 7001", {"udp"}), ("--endpoint BNAME -p udp --state assured", set()),
]


@pytest.mark.parametrize("words,wanted", FILTERS, ids=[words or "none" for words, _ in FILTERS])
def test_filters(busy, words, wanted):
    replaced = {"A": busy.a.address, "ANAME": busy.a.name, "BNAME": busy.b.name}
    words = [replaced.get(word, word) for word in words.split()]
    assert set(listed(busy, *words)) == wanted
    assert busy.nsbpf("conntrack", "count", *words).stdout == f"{len(wanted)}\n"
    assert busy.json("conntrack", "count", *words) == {"count": len(wanted)}


def get_words(protocol, direction):
    ports = [] if direction["id"] is None else ["--icmp-id", direction["id"]]
    ports = ports or ["--sport", direction["source_port"], "--dport", direction["destination_port"]]
    return ["-p", protocol, "-s", direction["source"], "-d", direction["destination"], *ports]


def test_get(busy):
    """By the tuple of either direction, as a packet has it that arrives."""
    for name, c in listed(busy).items():
        for direction in ("original", "reply"):
            words = get_words(c["protocol"], c[direction])
            assert named(busy, [busy.json("conntrack", "get", *words)]).keys() == {name}
    line = busy.nsbpf("conntrack", "get", *words).stdout
    assert re.sub(" +", " ", line).startswith("icmpv6 - ") and line.count("\n") == 1
    words = ["-p", "tcp", "-s", busy.a.address, "-d", OUTSIDE_FAR, "--sport", "40000", "--dport", "7001"]
    done = busy.nsbpf("conntrack", "get", *words, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (MISSING, "", "nsbpf: no such connection\n")
    done = busy.nsbpf("-j", "conntrack", "get", *words, check=False)
    assert json.loads(done.stderr) == {"error": {"code": MISSING, "text": "no such connection"}}


def test_stats(busy):
    stats = busy.json("conntrack", "stats")
    assert stats == {
        "running": True, "connections": busy.json()["connections"], "unreplied": 1, "assured": 5, "snat": 5, "dnat": 1,
        "protocols": {"tcp": 1, "udp": 3, "icmp": 1, "icmpv6": 1},
        "states": {"tcp-syn": 0, "tcp-established": 1, "tcp-fin": 0, "tcp-closing": 0, "tcp-reset": 0, "udp": 3,
                   "icmp": 2}}
    assert stats["connections"]["count"] == 6 and stats["connections"]["nat_ports"] == 5


def test_states_of_tcp(busy):
    """A connection to nowhere, and one that ends."""
    b = busy.b
    b.agent(type(busy.udp), "session", "tcp", json.dumps({
        "address": NOWHERE, "port": 80, "source": None, "source_port": 40010, "timeout": 0.01, "connect": True}))
    with b.tcp_session(OUTSIDE_FAR, TCP, source_port=40011) as session:
        assert session.ask()["data"] == "hello"

    def states():
        return {c["original"]["source_port"]: (c["state"], c["replied"], c["assured"])
                for c in busy.json("conntrack", "list", "--endpoint", b.name, "-p", "tcp")}
    wait_for(lambda: states() == {40010: ("tcp-syn", False, False), 40011: ("tcp-closing", True, False)})
    line = busy.nsbpf("conntrack", "list", "--state", "closing").stdout
    assert line.startswith("tcp    CLOSING ") and "[ASSURED]" not in line and "[UNREPLIED]" not in line
    line = busy.nsbpf("conntrack", "list", "--state", "syn").stdout
    assert line.startswith("tcp    SYN ") and " [UNREPLIED] src=192.0.2.9 " in line
    busy.nsbpf("conntrack", "delete", "-p", "tcp", "--endpoint", b.name)


BAD = ["", "list extra", "list -x", "list -p sctp", "list -p", "list -p tcp -p udp", "list -ptcp", "list -s 10.0.0.1/8",
       "list -s 10.0.0", "list --src web", "list -d", "list --sport 65536", "list --sport http", "list --sport -1",
       "list --state open", "list --state udp,", "list --state", "list --nat both", "list --nat=", "list -f ipv5",
       "list -p icmp --sport 1", "list -p tcp --icmp-id 1", "list --icmp-id 1 --dport 1", "list -f ipv4 -s ::1",
       "list -s 10.0.0.1 -d ::1", "list -p icmp -f ipv6", "list -p icmpv6 -s 10.0.0.1", "count extra", "count -q",
       "stats extra", "stats -p tcp", "get", "get -p tcp", "get -p tcp -s 10.0.0.1 -d 10.0.0.2 --sport 1",
       "get -p tcp -s 10.0.0.0/8 -d 10.0.0.2 --sport 1 --dport 2", "get -p icmp -s 10.0.0.1 -d 10.0.0.2",
       "get -p udp -s 10.0.0.1 -d 10.0.0.2 --sport 1 --dport 2 --state udp", "get web", "lst", "LIST",
       "delete", "delete web", "delete -p", "delete --state x", "flush all", "flush -p tcp"]


@pytest.mark.parametrize("words", BAD)
def test_bad_input(busy, words):
    for option in ([], ["-j"]):
        done = busy.nsbpf(*option, "conntrack", *words.split(), check=False)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (USAGE, "", 1)
    assert json.loads(done.stderr)["error"]["code"] == USAGE
    assert busy.nsbpf("conntrack", "count").stdout == "6\n"


def test_hostile_words(busy):
    for words in (["--endpoint", "a\nnsbpf: forged"], ["--endpoint", "n" * 100000], ["--endpoint", ""]):
        done = busy.nsbpf("conntrack", "list", *words, check=False)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (MISSING, "", 1)
    done = busy.nsbpf("conntrack", "list", "--state", "x" * 100000, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (USAGE, 1)


def test_nowhere_to_write(busy):
    """A full disk is an error."""
    with open("/dev/full", "w", encoding="ascii") as full:
        done = busy.popen(*busy.nsbpf_command("conntrack", "list")[2:], stdout=full, stderr=-1, text=True)
        assert (done.communicate(timeout=10)[1], done.returncode) == ("nsbpf: cannot write the listing\n", SYSTEM)


def test_nothing_runs(host):
    assert host.nsbpf("conntrack", "list").stdout == "" and host.json("conntrack", "list") == []
    assert host.nsbpf("conntrack", "count").stdout == "0\n" and host.json("conntrack", "count") == {"count": 0}
    assert host.nsbpf("conntrack", "stats").stdout == host.nsbpf("stats").stdout
    stats = host.json("conntrack", "stats")
    assert stats["running"] is False and stats["connections"] == host.json()["connections"]
    assert set(stats["states"].values()) == set(stats["protocols"].values()) == {0}
    for words, code in ((["get", "-p", "icmp", "-s", "10.0.0.1", "-d", "10.0.0.2", "--icmp-id", "1"], MISSING),
                        (["list", "--endpoint", "web"], MISSING), (["count", "--endpoint", "web"], MISSING)):
        done = host.nsbpf("conntrack", *words, check=False)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert host.pin_directories() == [], "looking makes nothing"


def test_broken(host):
    """What is not there is told, and what needs it not goes on."""
    a = host.add("a")
    host.outside.udp_echo(UDP)
    assert a.udp_session(OUTSIDE_FAR, UDP).ask()["data"] == "hello"
    a.ip("link", "del", "eth0")
    connection, = host.json("conntrack", "list")
    assert connection["endpoint"] == a.name
    traffic = f"{host.pin_directories()[0]}/maps/traffic"
    os.unlink(traffic)
    assert host.nsbpf("conntrack", "count").stdout == "1\n"
    for words in (["list"], ["count", "-p", "udp"], ["stats"], ["delete", "-p", "udp"], ["flush"]):
        done = host.nsbpf("conntrack", *words, check=False)
        assert (done.returncode, done.stdout) == (SYSTEM, "")
        assert done.stderr == (f"nsbpf: cannot open {traffic}: No such file or directory (`nsbpf check --repair` mends what "
                               "it can, `nsbpf down` removes what is left)\n")
    done = host.nsbpf("-j", "conntrack", "list", check=False)
    assert done.stdout == "" and json.loads(done.stderr)["error"]["code"] == SYSTEM
