# SPDX-License-Identifier: GPL-2.0-only
"""Bad input: the right exit code, one line on stderr and none on stdout, and nothing changed."""
import json
import re

import pytest
import snapshot
from topology import HOST_ADDRESS, NSBPF, Host

USAGE, SYSTEM, MISSING, CONFLICT = 1, 2, 3, 4

BAD_NAMES = {
    "empty": "", "dot": ".", "dot-dot": "..", "slash": "a/b", "leading slash": "/a", "path": "../../etc/passwd",
    "space": "a b", "tab": "a\tb", "newline": "a\nnsbpf: forged line", "escape": "\x1b[31mred", "bell": "a\x07",
    "delete": "a\x7f", "high byte": "a\udc80", "umlaut": "ä", "semicolon": "a;b", "percent": "%s%n", "dollar": "$HOME",
    "64 bytes": "n" * 64, "300 bytes": "n" * 300, "100 KB": "n" * 100000, "asterisk": "*", "quote": "a'b",
}
NAMED = {
    "add": ["add", "NAME"], "del": ["del", "NAME"], "exec": ["exec", "NAME", "true"], "shell": ["shell", "NAME"],
    "expose": ["expose", "NAME", "5000"], "unexpose": ["unexpose", "NAME", "5000"],
    "network add": ["network", "add", "NAME", "--subnet", "172.20.0.0/24"], "network del": ["network", "del", "NAME"],
    "network set": ["network", "set", "NAME", "--isolate", "off"], "--network": ["add", "NEW", "--network", "NAME"],
}
BAD_ADDRESSES = ["", "nonsense", "10.80.0.300", "10.80.0", "10.80.0.5.6", "010.80.0.5", "10.80.0.5/16", " 10.80.0.5",
                 "10.80.0.5 ", "0x0a500005", "175112197", "10.80.0.-1", "10.80.0.5,", ",10.80.0.5", "0.0.0.0",
                 "255.255.255.255", "224.0.0.5", "127.0.0.1", "10.80.0.5\n", "10.80.0.5,10.80.0.6",
                 "10.80.0.5,fd00::5,10.80.0.6", "fd00::5,fd00::6", "fd00::5,", "10.80.0.5, fd00::5", "::", "::1",
                 "fe80::5", "fe80::5%eth0", "ff02::1", "2001:db8::5", "[fd00::5]", "fd00::5/64", "fd00::5::6", "fd00::10000",
                 "::ffff:10.80.0.300", "10.80.0.5,::", "10.80.0.5," + "f" * 100]
BAD_MACS = ["", "nonsense", "02:00:5e:00:53", "02:00:5e:00:53:01:02", "02-00-5e-00-53-01", "02:00:5e:00:53:0g",
            "01:00:5e:00:53:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "2:0:5e:0:53:1", "02005e005301"]
BAD_MTUS = ["", "0", "-1", "67", "65536", "1500x", "0x5dc", "1e3", " 1500", "99999999999999999999"]
BAD_LIMITS = ["", "-1", "4194305", "1000x", "0x10", "1k", " 10", "none", "Auto", "99999999999999999999"]
BAD_TIMES = ["", "0", "0s", "-1", "1ms", "5 m", "4M", "1h30m", "1.5h", "1w", "25d", "2073601", "nonsense", "on", "010",
             "+4m", " 4m", "4m\n", "99999999999999999999", "Default"]
BAD_PORTS = ["", "0", "65536", "70000", "-5", "5-", "-", "10-5", "5000:", ":5000", "5000:0", "5000:65536",
             "5000-5010:80-81", "1-2:65535", "5000/", "5000/sctp", "5000/TCP", "5000/tcp/udp", "5000 ", " 5000",
             "+5000", "0x50", "5000,5001",
             "1.2.3:80", "1.2.3.4.5:80", "http", "99999999999999999999", "5000\n", HOST_ADDRESS + ":", "[::1:80",
             "::1:80"]
BAD_SOURCES = ["", "nonsense", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0/8", "10.0.0.1/8", "10.0.0.0/8 ",
               "10.0.0.0/08x", "/8"]
BAD_WORDS = {
    "unknown verb": ["frobnicate"], "abbreviated verb": ["ad", "NEW"], "capitals": ["ADD", "NEW"], "empty verb": [""],
    "unknown option": ["--frob"], "unknown short option": ["-z"],
    "option of another verb": ["del", "OLD", "--mtu", "1500"],
    "unknown option of a verb": ["add", "NEW", "--frob"], "abbreviated option": ["add", "NEW", "--net", "default"],
    "add nothing": ["add"], "add two": ["add", "NEW", "NEWER"], "del nothing": ["del"], "del two": ["del", "OLD", "x"],
    "list more": ["list", "extra"], "ports more": ["ports", "extra"], "down more": ["down", "extra"],
    "exec nothing": ["exec"], "exec no command": ["exec", "OLD"], "exec no command behind --": ["exec", "OLD", "--"],
    "shell nothing": ["shell"], "shell more": ["shell", "OLD", "x"],
    "expose nothing": ["expose"], "expose no port": ["expose", "OLD"], "expose more": ["expose", "OLD", "80", "81"],
    "unexpose no port": ["unexpose", "OLD"], "network frob": ["network", "frob"],
    "network add nothing": ["network", "add"], "network del nothing": ["network", "del"],
    "network set nothing": ["network", "set"], "network list more": ["network", "list", "x"],
    "uplink frob": ["uplink", "frob"], "uplink add nothing": ["uplink", "add"], "uplink del nothing": ["uplink", "del"],
    "value missing --ip": ["add", "NEW", "--ip"], "value missing --network": ["add", "NEW", "--network"],
    "value missing --mac": ["add", "NEW", "--mac"], "value missing --from": ["expose", "OLD", "80", "--from"],
    "value missing --subnet": ["network", "add", "blue", "--subnet"],
    "value missing --subnet6": ["network", "add", "blue", "--subnet6"],
    "value missing --mode": ["network", "add", "blue", "--mode"],
    "mode of a network that is there": ["network", "set", "red", "--mode", "nat"],
    "subnet of a network that is there": ["network", "set", "red", "--subnet6", "2001:db8:5::/64"],
    "help frob": ["help", "frobnicate"],
    "set nothing": ["set"], "set no value": ["set", "timeout.udp"], "set more": ["set", "timeout.udp", "1m", "2m"],
    "set unknown": ["set", "timeout.sctp", "60"], "set abbreviated": ["set", "timeout.tcp", "60"],
    "set capitals": ["set", "TIMEOUT.UDP", "60"], "set the empty name": ["set", "", "60"],
    "set with an option": ["set", "timeout.udp", "60", "--mtu", "1500"],
    "switch neither on nor off": ["set", "inbound-refresh", "1"], "port's rest": ["set", "timeout.port", "3601"],
    "get unknown": ["get", "timeout.sctp"], "get two": ["get", "timeout.udp", "timeout.icmp"],
    "network set with --subnet": ["network", "set", "red", "--subnet", "172.31.0.0/24"],
    "filtering unknown": ["network", "set", "red", "--filtering", "endpoint"],
    "masquerade off": ["network", "set", "red", "--masquerade", "off"],
    "masquerade with a prefix": ["network", "set", "red", "--masquerade", HOST_ADDRESS + "/24"],
    "value missing --max-connections": ["add", "NEW", "--max-connections"],
    "option twice": ["add", "NEW", "--ip", "10.80.0.7", "--ip", "10.80.0.8"],
}
CONFLICTS = {
    "port held by an endpoint": (CONFLICT, ["expose", "OTHER", "5000"], ["OLD", "5000"]),
    "range over an exposed port": (CONFLICT, ["expose", "OTHER", "4990-5005"], ["OLD"]),
    "same port, another target": (CONFLICT, ["expose", "OLD", "5000:5001"], ["OLD"]),
    "same port, other sources": (CONFLICT, ["expose", "OLD", "5000", "--from", "192.0.2.0/24"], ["OLD"]),
    "both where one is held": (CONFLICT, ["expose", "OTHER", "5000/both"], ["OLD"]),
    "address not the host's": (MISSING, ["expose", "OLD", "203.0.113.9:80"], ["203.0.113.9"]),
    "address held": (CONFLICT, ["add", "NEW", "--ip", "10.80.0.2"], ["OLD"]),
    "address of the gateway": (CONFLICT, ["add", "NEW", "--ip", "10.80.0.1"], ["10.80.0.1"]),
    "another address": (CONFLICT, ["add", "OLD", "--ip", "10.80.0.9"], ["OLD"]),
    "another MAC": (CONFLICT, ["add", "OLD", "--mac", "02:00:5e:00:53:01"], ["OLD"]),
    "another MTU": (CONFLICT, ["add", "OLD", "--mtu", "1300"], ["OLD"]),
    "another network": (CONFLICT, ["add", "OLD", "--network", "red"], ["OLD"]),
    "another limit": (CONFLICT, ["add", "OLD", "--max-connections", "10"], ["OLD"]),
    "another filtering": (CONFLICT, ["network", "add", "red", "--filtering", "endpoint-independent"], ["red"]),
    "another masquerade": (CONFLICT, ["network", "add", "red", "--masquerade", HOST_ADDRESS], ["red"]),
    "masquerade as somebody else": (MISSING, ["network", "set", "red", "--masquerade", "203.0.113.9"], ["203.0.113.9"]),
    "network in use": (CONFLICT, ["network", "del", "default"], ["default"]),
    "overlapping network": (CONFLICT, ["network", "add", "blue", "--subnet", "10.80.5.0/24"], ["default"]),
    "overlap with the uplink's": (CONFLICT, ["network", "add", "blue", "--subnet", "198.51.100.0/24"], ["198.51.100"]),
    "unknown network": (MISSING, ["add", "NEW", "--network", "nowhere"], ["nowhere"]),
    "expose nobody": (MISSING, ["expose", "nobody", "80"], ["nobody"]),
    "unexpose nobody": (MISSING, ["unexpose", "nobody", "80"], ["nobody"]),
    "exec nobody": (MISSING, ["exec", "nobody", "true"], ["nobody"]),
    "shell nobody": (MISSING, ["shell", "nobody"], ["nobody"]),
    "set nothing": (MISSING, ["network", "set", "nowhere", "--isolate", "off"], ["nowhere"]),
    "uplink nowhere": (MISSING, ["uplink", "add", "nodev0"], ["nodev0"]),
}


@pytest.fixture(scope="module")
def ready():
    """One host for all rows: OLD exposes tcp/5000, OTHER exposes nothing, network `red` is empty."""
    with Host() as host:
        host.nsbpf("network", "add", "red", "--subnet", "172.30.0.0/24")
        host.add("old")
        host.add("other")
        host.nsbpf("expose", host.name("old"), "5000")
        yield host


def state(host):
    status = host.json()
    for entry in status["endpoints"]:
        for counter in ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes"):
            del entry[counter]
    del status["drops"]
    status["settings"] = host.json("get")
    listed = [json.dumps([key, entry]) for key, value in status.items()
              for entry in (value if isinstance(value, list) else [value])]
    return {"status": listed, **snapshot.take(host)}


def refused(host, code, *commands, words=()):
    """Each command fails with this exit code and one line that has these words; all together they change nothing."""
    stand_ins = {"NEW": host.name("new"), "NEWER": host.name("newer"), "OLD": host.name("old"),
                 "OTHER": host.name("other")}
    before = state(host)
    for command in commands:
        done = host.nsbpf(*[stand_ins.get(word, word) for word in command], check=False)
        assert done.returncode == code, done
        assert done.stdout == ""
        assert done.stderr.endswith("\n") and len(done.stderr.splitlines()) == 1, done.stderr
        assert re.fullmatch(r"nsbpf: \S[^\x00-\x1f\x7f\x80-\x9f\udc80-\udcff]*\n", done.stderr), done.stderr
        assert len(done.stderr) < 600
        for word in words:
            assert stand_ins.get(word, word) in done.stderr
    assert snapshot.difference(before, state(host)) == []


def table(rows):
    return pytest.mark.parametrize("row", list(rows.values()), ids=list(rows))


@pytest.mark.parametrize("verb", list(NAMED))
def test_names(ready, verb):
    refused(ready, USAGE, *[[name if word == "NAME" else word for word in NAMED[verb]] for name in BAD_NAMES.values()])


def test_longest_name_is_good(ready):
    before = state(ready)
    name = ready.name("")
    name += "n" * (63 - len(name))
    ready.nsbpf("add", name)
    ready.nsbpf("del", name)
    assert snapshot.difference(before, state(ready)) == []


@pytest.mark.parametrize("option, values", [("--ip", BAD_ADDRESSES), ("--mac", BAD_MACS), ("--mtu", BAD_MTUS),
                                            ("--max-connections", BAD_LIMITS)], ids=["ip", "mac", "mtu", "limit"])
@pytest.mark.families("both")
def test_values_of_add(ready, option, values):
    refused(ready, USAGE, *[["add", "NEW", option, value] for value in values])


@pytest.mark.parametrize("verb", ["expose", "unexpose"])
def test_ports(ready, verb):
    refused(ready, USAGE, *[[verb, "OLD", ports] for ports in BAD_PORTS])


def test_sources(ready):
    refused(ready, USAGE, *[["expose", "OLD", "6000", "--from", source] for source in BAD_SOURCES],
            ["expose", "OLD", "6000"] + ["--from", "192.0.2.0/24"] * 9)


def test_times(ready):
    refused(ready, USAGE, *[["set", "timeout.udp", text] for text in BAD_TIMES])


@table(BAD_WORDS)
def test_words(ready, row):
    refused(ready, USAGE, row)


@table(CONFLICTS)
def test_conflicts_and_missing(ready, row):
    code, command, words = row
    refused(ready, code, command, words=words)


@pytest.mark.parametrize("proto", ["tcp", "udp"])
@pytest.mark.parametrize("address", ["0.0.0.0", HOST_ADDRESS, "127.0.0.1", "::"])
def test_port_held_by_a_host_socket(ready, proto, address):
    """The message names the holder: pid and program."""
    server = getattr(ready, f"{proto}_echo")(7777, address)
    try:
        refused(ready, CONFLICT, ["expose", "OLD", f"7770-7780/{proto}"],
                words=[f"pid {server.process.pid}", "python3", "7777"])
    finally:
        server.stop()


def test_port_held_elsewhere_is_free(ready):
    """A socket on another address, of the other protocol, or in another namespace holds nothing here."""
    before = state(ready)
    servers = [ready.tcp_echo(7777, "127.0.0.1"), ready.udp_echo(7778, "0.0.0.0"), ready.outside.tcp_echo(7779)]
    for ports in (f"{HOST_ADDRESS}:7777", "7778/tcp", "7779"):
        ready.nsbpf("expose", ready.name("old"), ports)
        ready.nsbpf("unexpose", ready.name("old"), ports)
    for server in servers:
        server.stop()
    assert snapshot.difference(before, state(ready)) == []


@pytest.mark.parametrize("code, command", [
    (USAGE, ["-j", "frobnicate"]), (USAGE, ["-j", "add", "a/b"]), (USAGE, ["-j", "add", "a\udcff"]),
    (USAGE, ["add", "a\"b\\\n", "-j"]), (MISSING, ["expose", "nobody", "80", "--json"]),
    (CONFLICT, ["-j", "network", "del", "default"]), (USAGE, ["frobnicate", "-j"]), (USAGE, ["version", "more", "-j"]),
    (USAGE, ["conntrack", "-j"]), (USAGE, ["conntrack", "frobnicate", "--json"]), (USAGE, ["network", "-j", "what"]),
], ids=["words", "name", "bytes", "quoting", "missing", "conflict", "behind", "version", "no word", "wrong word",
        "between"])
def test_errors_as_json(ready, code, command):
    done = ready.nsbpf(*command, check=False)
    assert done.returncode == code and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    error = json.loads(done.stderr)
    assert set(error) == {"error"} and set(error["error"]) == {"code", "text"}
    assert error["error"]["code"] == code
    assert error["error"]["text"] and not error["error"]["text"].startswith("nsbpf")


def test_bad_words_on_a_fresh_host_make_nothing(host):
    """Nothing is set up for the sake of a command that then fails."""
    before = snapshot.take(host)
    for command in (["add", "a/b"], ["add", host.name("a"), "--ip", "nonsense"], ["expose", "nobody", "80"],
                    ["add", host.name("a"), "--network", "nowhere"], ["network", "add", "x", "--subnet", "1.2.3.4/24"],
                    ["exec", "nobody", "true"], ["frobnicate"], ["add", host.name("a"), "--ip", "192.0.2.1"]):
        assert host.nsbpf(*command, check=False).returncode in (USAGE, MISSING)
        assert snapshot.difference(before, snapshot.take(host)) == [], command


def test_not_root(host):
    """One clear sentence, and not a number of the kernel's. CAP_SYS_ADMIN of another user namespace is not enough."""
    done = host.run("setpriv", "--reuid", "65534", "--clear-groups", NSBPF, "add", host.name("a"), check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("nsbpf: ")
    assert re.search("root|CAP_|privilege|permi", done.stderr)


@pytest.mark.parametrize("command", [[], ["help"], ["version"], ["get"], ["network", "list"], ["stats"], ["doctor"]],
                         ids=" ".join)
def test_nowhere_to_write(ready, command):
    """A full disk must not look like a short listing."""
    with open("/dev/full", "w", encoding="ascii") as full:
        done = ready.popen(*ready.nsbpf_command(*command)[2:], stdout=full, stderr=-1, text=True)
        assert done.communicate(timeout=10)[1] == "nsbpf: cannot write the output\n"
        assert done.returncode == SYSTEM
