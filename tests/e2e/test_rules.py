# SPDX-License-Identifier: GPL-2.0-only
"""The rules of the house: the same twice is `unchanged`, and 50 commands at once lose nothing."""
import os
import subprocess

import pytest
import snapshot
from topology import HOST_ADDRESS, HOST_ADDRESS6, OUTSIDE_ADDRESS, OUTSIDE_ADDRESS6, OUTSIDE_FAR, OUTSIDE_FAR6, run

MANY = 50


def at_once(host, commands, **more):
    """Starts them all before it waits for any; returns [(exit code, stdout, stderr)]."""
    running = [subprocess.Popen(host.nsbpf_command(*command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env=host.environment(), stdin=subprocess.DEVNULL, **more) for command in commands]
    host.processes.extend(running)
    ended = []
    for process in running:
        out, err = process.communicate(timeout=120)
        ended.append((process.returncode, out, err))
    return ended


def failures(ended):
    return [result for result in ended if result[0]]


@pytest.mark.attach
@pytest.mark.families("both")
def test_the_same_twice_is_unchanged(host):
    a = host.name("a")
    second = host.machine("s")
    host.connect(host, "up1", second, "wan1")
    made = [["network", "add", "blue", "--subnet", "172.20.0.0/24", "--subnet6", "2001:db8:20::/64"],
            ["network", "add", "dmz", "--mode", "routed", "--subnet6", "2001:db8:30::/64"],
            ["add", a],
            ["add", host.name("b"), "--network", "blue", "--ip", "172.20.0.9,2001:db8:20::99", "--mac",
             "02:00:5e:00:53:09", "--mtu", "1400", "--dns", "192.0.2.53,2001:db8:53::53"],
            ["expose", a, "5000"],
            ["expose", a, "6000-6010:7000/udp"],
            ["expose", a, f"{HOST_ADDRESS}:53/both", "--from", "192.0.2.0/24", "--from", "198.51.100.0/24"],
            ["expose", a, f"[{HOST_ADDRESS6}]:53/both", "--from", "2001:db8::/32", "--from", "fd00::1"],
            ["network", "set", "blue", "--isolate", "off"],
            ["network", "set", "blue", "--filtering", "endpoint-independent", "--masquerade",
             f"{HOST_ADDRESS},{HOST_ADDRESS6}"],
            ["add", host.name("c"), "--max-connections", "100"],
            ["set", "timeout.udp", "10m"],
            ["set", "inbound-refresh", "off"],
            ["uplink", "add", "up1"]]
    for command in made:
        assert host.nsbpf(*command).stdout != "unchanged\n", command
    before, listed = snapshot.take(host), host.json()
    for command in made:
        done = host.nsbpf(*command)
        assert (done.stdout, done.stderr) == ("unchanged\n", ""), command
    assert snapshot.difference(before, snapshot.take(host)) == []
    assert host.json()["ports"] == listed["ports"]

    unmade = [["set", "timeout.udp", "default"], ["uplink", "del", "up1"], ["unexpose", a, "5000"],
              ["unexpose", a, "6000-6010:7000/udp"], ["unexpose", a, f"{HOST_ADDRESS}:53/both"],
              ["unexpose", a, f"[{HOST_ADDRESS6}]:53/both"], ["del", host.name("b")], ["network", "del", "blue"],
              ["network", "del", "dmz"], ["del", a], ["del", host.name("c")], ["down"]]
    for command in unmade:
        assert host.nsbpf(*command).stdout != "unchanged\n", command
        done = host.nsbpf(*command)
        if command[0] != "unexpose":
            assert (done.stdout, done.stderr) == ("unchanged\n", ""), command


def test_absent_things_are_unchanged(host):
    """Even where nothing runs at all."""
    for _ in range(2):
        for command in (["del", "nobody"], ["network", "del", "nowhere"], ["uplink", "del", "nodev0"]):
            assert host.nsbpf(*command).stdout == "unchanged\n", command
        host.add("a")
    assert host.nsbpf("unexpose", host.name("a"), "80").stdout == "unchanged\n"


def test_unchanged_keeps_quiet_connections(host, family):
    """A repeated command touches no live connection."""
    ns = host.add("a")
    server = ns.tcp_echo(5000, family.any)
    host.nsbpf("expose", ns.name, "5000")
    talk = host.outside.tcp_session(family.host, 5000)
    assert talk.ask("one")["data"] == "one"
    host.nsbpf("add", ns.name)
    host.nsbpf("expose", ns.name, "5000")
    host.nsbpf("expose", ns.name, "5001")
    host.add("b")
    assert talk.ask("two")["data"] == "two"
    assert server.port == 5000


@pytest.mark.attach
@pytest.mark.families("both")
def test_fifty_adds_and_exposes_at_once(host):
    """On a host where nothing ran before: the first of them sets everything up, and the others wait for it."""
    names = [host.name(f"n{number}") for number in range(MANY)]
    before = snapshot.take(host)
    assert failures(at_once(host, [["add", name] for name in names])) == []
    entries = host.json("list")
    assert sorted(entry["name"] for entry in entries) == sorted(names)
    assert {entry["state"] for entry in entries} == {"up"}
    assert len({address for entry in entries for address in entry["addresses"]}) == 2 * MANY
    assert len({entry["mac"] for entry in entries}) == MANY
    assert len(host.pin_directories()) == 1

    ports = dict(zip(names, range(5000, 5000 + MANY)))
    assert failures(at_once(host, [["expose", name, str(port)] for name, port in ports.items()])) == []
    assert {entry["endpoint"]: entry["first"] for entry in host.json("ports")} == ports
    for short in (0, 7, 49):
        ns = host.endpoint(f"n{short}")
        for far in (OUTSIDE_FAR, OUTSIDE_FAR6):
            assert ns.ping(far).returncode == 0
        with ns.tcp_echo(5000 + short, "::"):
            assert host.outside.tcp(HOST_ADDRESS, 5000 + short)["peer"] == "::ffff:" + OUTSIDE_ADDRESS
            assert host.outside.tcp(HOST_ADDRESS6, 5000 + short)["peer"] == OUTSIDE_ADDRESS6

    half = names[::2]
    mixed = [["del", name] for name in half] + [["expose", name, f"{port + 1000}"] for name, port in ports.items()
                                                 if name not in half]
    assert failures(at_once(host, mixed)) == []
    rest = set(names) - set(half)
    assert set(host.endpoints()) == rest
    assert {entry["endpoint"] for entry in host.json("ports")} == rest
    assert len(host.json("ports")) == 2 * len(rest)
    host.nsbpf("down")
    assert snapshot.difference(before, snapshot.take(host)) == []


@pytest.mark.families("both")
def test_the_same_add_fifty_times_at_once(host):
    ended = at_once(host, [["add", host.name("a")]] * MANY)
    assert failures(ended) == []
    said = [out for _, out, _ in ended]
    assert said.count("unchanged\n") == MANY - 1, said
    for far in (OUTSIDE_FAR, OUTSIDE_FAR6):
        assert host.endpoint("a").ping(far).returncode == 0


def test_one_port_for_fifty(host):
    """Exactly one gets it; the others are told who has it."""
    names = [host.name(f"n{number}") for number in range(10)]
    for name in names:
        host.nsbpf("add", name)
    ended = at_once(host, [["expose", name, "5000"] for name in names for _ in range(5)])
    assert {code for code, _, _ in ended} == {0, 4}
    holders = {entry["endpoint"] for entry in host.json("ports")}
    assert len(holders) == 1 and len(host.json("ports")) == 1
    assert all(next(iter(holders)) in err for code, _, err in ended if code)


def test_add_and_del_and_down_at_once(host):
    """No order is promised, but every one of them ends, and then all can be taken down."""
    before = snapshot.take(host)
    commands = [["add", host.name(f"n{number % 5}")] for number in range(15)]
    commands += [["del", host.name(f"n{number % 5}")] for number in range(15)] + [["down"]] * 3
    commands += [["list"], ["-j"], ["ports"]] * 5
    ended = at_once(host, [command for pair in zip(commands, reversed(commands)) for command in pair])
    assert failures(ended) == []
    host.nsbpf("down")
    assert snapshot.difference(before, snapshot.take(host)) == []


def test_reading_does_not_wait_for_changing(host):
    """Listings are to be had while a change is under way, here one that is stopped in its middle."""
    host.add("a")
    stopped = subprocess.Popen(["strace", "-f", "-qq", "-o", os.devnull, "-e", "trace=setns,unshare", "-e",
                                "inject=setns,unshare:delay_enter=4000000:when=1",
                                *host.nsbpf_command("add", host.name("b"))], stdout=subprocess.DEVNULL,
                               env=host.environment({"LSAN_OPTIONS": "detect_leaks=0"}))  # not possible under strace
    host.processes.append(stopped)
    for _ in range(5):
        assert host.name("a") in host.nsbpf("list", timeout=3).stdout
    assert stopped.wait(60) == 0
    assert host.name("b") in host.endpoints()


def test_down_without_add(host):
    assert host.nsbpf("down").stdout == "unchanged\n"
    assert host.pin_directories() == []
    assert host.name("a") not in run("ip", "netns", "list").stdout
