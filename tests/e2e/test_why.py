# SPDX-License-Identifier: GPL-2.0-only
"""`nsbpf why`: what it says of a packet, that it says so of real ones, and that nothing comes of asking.

What stops packets in ten and more ways is in test_faults.py.
"""
import json
import os
import re
import shutil
import sys

import pytest
from golden import golden
from listening import listen
from topology import HOST_ADDRESS, HOST_ADDRESS6, OUTSIDE_ADDRESS, OUTSIDE_FAR, OUTSIDE_FAR6, TOP, Host, wait_for

sys.path.append(os.path.join(TOP, "tests", "packets"))
import bpf  # noqa: E402

ALLOWED = "198.51.100.64/26"  # not the outside machine
PERCPU_ARRAY = 6
RESTLESS = ("sweeps", "listeners", "listener_slots")  # the timer's own; and who listens has nothing to do with this


@pytest.fixture(scope="module")
def busy():
    with Host() as host:
        host.nsbpf("set", "connections", 8192)
        host.web, host.db = host.add("web"), host.add("db")
        host.nsbpf("network", "add", "lab", "--subnet", "192.0.2.0/24")
        host.probe = host.add("probe", "--network", "lab")
        host.server = host.web.tcp_echo(80)
        host.nsbpf("expose", host.web.name, "8080:80")
        host.nsbpf("expose", host.db.name, "5432", "--from", ALLOWED)
        host.echo = host.outside.udp_echo(7)
        host.session = host.web.udp_session(OUTSIDE_FAR, 7)
        assert host.session.ask("hello")
        yield host


def why(host, *words, **more):
    return host.json("why", *words, **more)


def stages(told):
    return [stage["stage"] for stage in told["stages"]]


def text_of(told, stage):
    return next(each["text"] for each in told["stages"] if each["stage"] == stage)


def test_text(busy):
    names = {endpoint.name: short for short, endpoint in
             (("web", busy.web), ("db", busy.db), ("probe", busy.probe))}
    devices = {endpoint.device: f"nsb-{names[endpoint.name]}" for endpoint in (busy.web, busy.db, busy.probe)}
    shown = ""
    for words in (["tcp", f"{busy.web.address}:40000", f"{OUTSIDE_FAR}:80"],
                  ["tcp", f"{OUTSIDE_ADDRESS}:40000", f"{HOST_ADDRESS}:8080"],
                  ["tcp", f"{OUTSIDE_ADDRESS}:40000", f"{HOST_ADDRESS}:5432"],
                  ["tcp", "127.0.0.1", "127.0.0.1:8080"],
                  ["tcp", busy.probe.address, f"{HOST_ADDRESS}:8080"],
                  ["udp", busy.web.address, f"{busy.db.address}:53"],
                  ["icmp", busy.web.address, busy.probe.address],
                  ["udp", "192.0.2.77", f"{OUTSIDE_FAR}:53", "--from", busy.web.name],
                  ["udp", busy.web.address, f"{OUTSIDE_FAR}:53", "--size", "1600"]):
        text = busy.nsbpf("why", *words).stdout
        text = re.sub(r"(becomes 198\.51\.100\.1):\d+", r"\1:PORT", text)
        shown += f"$ nsbpf why {' '.join(words)}\n{text}\n"
    golden("why", shown, names | devices | {busy.web.address6: "WEB6"})


def test_known_connection(busy):
    """Its own packets, and the answers to them, with the port that it really has."""
    own = busy.session.first["local_port"]
    told = why(busy, "udp", f"{busy.web.address}:{own}", f"{OUTSIDE_FAR}:7")
    assert "known, of" in text_of(told, "connection") and "one more of its packets" in text_of(told, "connection")
    port = told["becomes"]["source_port"]
    assert told["becomes"] == {"source": HOST_ADDRESS, "source_port": port, "destination": OUTSIDE_FAR,
                               "destination_port": 7}
    assert port == busy.session.ask("where from")["port"]
    back = why(busy, "udp", f"{OUTSIDE_FAR}:7", f"{HOST_ADDRESS}:{port}")
    assert "as an answer" in text_of(back, "connection")
    assert (back["verdict"], back["becomes"]["destination"], back["becomes"]["destination_port"]) == \
        ("forwarded", busy.web.address, own)


def test_new_connection_is_what_traffic_does(busy):
    told = why(busy, "tcp", f"{OUTSIDE_ADDRESS}:41000", f"{HOST_ADDRESS}:8080")
    assert told["ok"] and told["verdict"] == "forwarded" and told["from"] == "outside"
    assert told["becomes"] == {"source": OUTSIDE_ADDRESS, "source_port": 41000, "destination": busy.web.address,
                               "destination_port": 80}
    seen = busy.outside.tcp(HOST_ADDRESS, 8080, source_port=41000)
    assert (seen["peer"], seen["port"]) == (OUTSIDE_ADDRESS, 41000)


def test_ipv6(busy):
    told = why(busy, "tcp", f"[{busy.web.address6}]:40000", f"[{OUTSIDE_FAR6}]:80")
    assert told["becomes"]["source"] == HOST_ADDRESS6 and told["ok"]
    assert why(busy, "icmp", busy.web.address6, OUTSIDE_FAR6)["protocol"] == "icmpv6"
    assert why(busy, "tcp", busy.web.address6, f"[{HOST_ADDRESS6}]:8080")["becomes"]["destination_port"] == 80


def test_origins(busy):
    """Guessed by the source, and as --from says."""
    assert why(busy, "icmp", busy.web.address, OUTSIDE_FAR)["endpoint"] == busy.web.name
    assert why(busy, "icmp", OUTSIDE_FAR, HOST_ADDRESS)["from"] == "outside"
    assert why(busy, "icmp", HOST_ADDRESS, busy.web.address)["from"] == "host"
    told = why(busy, "tcp", HOST_ADDRESS, f"{busy.web.address}:80", "--from", "host")
    assert (told["verdict"], stages(told), told["ok"]) == ("forwarded", ["host"], True)
    told = why(busy, "udp", busy.web.address, f"{OUTSIDE_FAR}:53", "--from", busy.db.name)
    assert (told["verdict"], told["reason"], told["ok"]) == ("dropped", "spoofed-ip", False)
    told = why(busy, "udp", busy.web.address, f"{HOST_ADDRESS}:53", "--from", "outside")
    assert told["from"] == "outside"


def test_host_itself(busy):
    """What nsbpf leaves alone: the host's own ports, with and without somebody who listens."""
    told = why(busy, "tcp", OUTSIDE_ADDRESS, f"{HOST_ADDRESS}:2222")
    assert (told["verdict"], told["becomes"], told["ok"]) == ("host", None, False)
    assert "nobody on the host listens on tcp port 2222" in told["obstacles"][0]["text"]
    busy.tcp_echo(2222)
    assert why(busy, "tcp", OUTSIDE_ADDRESS, f"{HOST_ADDRESS}:2222")["ok"]
    told = why(busy, "tcp", OUTSIDE_ADDRESS, f"{HOST_ADDRESS}:8080", "--established")
    assert told["verdict"] == "host" and "only the first packet" in text_of(told, "connection")


def test_stranger(busy):
    """To an endpoint's own address from outside: whether the host forwards or not, it does not arrive."""
    for forward in ("0", "1"):
        busy.sysctl("net.ipv4.ip_forward", forward)
        told = why(busy, "tcp", OUTSIDE_ADDRESS, f"{busy.db.address}:80")
        assert (told["verdict"], told["reason"]) == ("dropped", "unsolicited")
        assert ("host" in stages(told)) == (forward == "0")
    busy.sysctl("net.ipv4.ip_forward", "0")
    busy.nsbpf("add", busy.db.name)  # ... takes lo's forwarding along


def test_routed_network(busy):
    """Its endpoints' own addresses, both ways, and no connection."""
    busy.nsbpf("network", "add", "dmz", "--mode", "routed", "--subnet", "203.0.113.128/25")
    mail = busy.add("mail", "--network", "dmz")
    for source, destination in ((OUTSIDE_ADDRESS, mail.address), (mail.address, OUTSIDE_FAR)):
        told = why(busy, "icmp", source, destination)
        assert (told["verdict"], told["ok"]) == ("forwarded", True)
        assert (told["becomes"]["source"], told["becomes"]["destination"]) == (source, destination)
        assert "connection" not in stages(told)
    assert "which is routed" in text_of(why(busy, "icmp", OUTSIDE_ADDRESS, mail.address), "endpoint")


def read_maps(host):
    values = {}
    for name in os.listdir(f"{host.pin_directories()[0]}/maps"):
        if name in RESTLESS:
            continue
        path = f"{host.pin_directories()[0]}/maps/{name}"
        with open(f"/proc/self/fdinfo/{(fd := bpf.obj_get(path))}", encoding="utf-8") as file:
            info = dict(line.split(":\t") for line in file.read().splitlines())
        os.close(fd)
        table = bpf.Map(path, int(info["key_size"]), int(info["value_size"]))
        if int(info["map_type"]) == PERCPU_ARRAY:
            table.value_size *= bpf.possible_cpus()
        is_array = int(info["map_type"]) in (2, PERCPU_ARRAY)
        values[name] = table.values() if is_array else sorted(table.items())
        table.close()
    return values


def test_no_side_effects(busy):
    """All maps are as they were, for packets that would open connections, take NAT ports or be dropped; and who listens
    hears nothing."""
    packets = [("tcp", busy.web.address, f"{OUTSIDE_FAR}:80"), ("tcp", OUTSIDE_ADDRESS, f"{HOST_ADDRESS}:8080"),
               ("tcp", OUTSIDE_ADDRESS, f"{HOST_ADDRESS}:5432"), ("icmp", busy.web.address, busy.probe.address),
               ("udp", busy.web.address, f"{OUTSIDE_FAR}:7", "--size", "1600"),
               ("tcp", busy.probe.address, f"{HOST_ADDRESS}:8080")]
    with listen(busy, "monitor") as listener:
        before = wait_for(lambda: (maps := read_maps(busy)) == read_maps(busy) and maps)
        for packet in packets:
            busy.nsbpf("why", *packet)
        after = read_maps(busy)
        assert [name for name in before if before[name] != after[name]] == []
        busy.web.ping(busy.probe.address, timeout=0.1)
        listener.event(event="drop", reason="isolated")
        assert len(listener.lines) == 2


@pytest.mark.parametrize("words, complaint", [
    ([], "takes a protocol"),
    (["tcp", "10.80.0.2"], "takes a protocol"),
    (["tcp", "10.80.0.2", "203.0.113.2:80", "more"], "takes a protocol"),
    (["sctp", "10.80.0.2", "203.0.113.2:80"], "no protocol sctp"),
    (["tcp", "10.80.0.2", "203.0.113.2"], "203.0.113.2 needs a port"),
    (["tcp", "10.80.0.2:0", "203.0.113.2:80"], "bad port 0"),
    (["tcp", "10.80.0.2:", "203.0.113.2:80"], "bad port"),
    (["tcp", "10.80.0.2", "203.0.113.2:65536"], "bad port 65536"),
    (["tcp", "10.80.0", "203.0.113.2:80"], "bad address 10.80.0"),
    (["tcp", "[2001:db8::1]x", "[2001:db8::2]:80"], "bad address"),
    (["tcp", "[2001:db8::1", "[2001:db8::2]:80"], "bad address"),
    (["tcp", "x" * 300, "203.0.113.2:80"], "bad address"),
    (["tcp", "10.80.0.2", "[2001:db8::2]:80"], "not of one family"),
    (["icmp", "10.80.0.2:7", "203.0.113.2"], "ICMP has no ports"),
    (["udp", "10.80.0.2", "203.0.113.2:80", "--established"], "--established is for tcp"),
    (["udp", "10.80.0.2", "203.0.113.2:80", "--size", "27"], "bad size 27: 28 to"),
    (["udp", "10.80.0.2", "203.0.113.2:80", "--size", "9000"], "bad size 9000"),
    (["udp", "10.80.0.2", "203.0.113.2:80", "--to", "x"], "no option --to"),
])
def test_bad_words(busy, words, complaint):
    done = busy.nsbpf("why", *words, check=False)
    assert done.returncode == 1 and complaint in done.stderr and done.stderr.count("\n") == 1 and not done.stdout
    done = busy.nsbpf("-j", "why", *words, check=False)
    assert json.loads(done.stderr)["error"]["code"] == 1


def test_unknown_endpoint(busy):
    done = busy.nsbpf("why", "icmp", "10.80.0.2", OUTSIDE_FAR, "--from", "nobody", check=False)
    assert done.returncode == 3 and "no endpoint nobody" in done.stderr


def test_empty_and_broken_host():
    with Host() as host:
        done = host.nsbpf("why", "icmp", "10.80.0.2", OUTSIDE_FAR, check=False)
        assert done.returncode == 3 and done.stderr.startswith("nsbpf: nothing runs here")
        assert not host.pin_directories()
        host.nsbpf("set", "connections", 8192)
        done = host.nsbpf("why", "icmp", OUTSIDE_FAR, HOST_ADDRESS, check=False)
        assert done.returncode in (0, 3)  # no uplink before the first endpoint: then there is nothing to run it by
        a = host.add("a")
        host.ip("link", "del", a.device)
        done = host.nsbpf("why", "icmp", a.address, OUTSIDE_FAR, check=False)
        assert done.returncode == 2 and "not whole" in done.stderr
        host.ip("link", "del", "up0")
        done = host.nsbpf("why", "icmp", OUTSIDE_FAR, HOST_ADDRESS, check=False)
        assert done.returncode == 3 and "uplink" in done.stderr
        shutil.rmtree(f"{host.pin_directories()[0]}/maps")
        done = host.nsbpf("why", "icmp", "10.80.0.2", OUTSIDE_FAR, check=False)
        assert done.returncode == 2 and "nsbpf down" in done.stderr
