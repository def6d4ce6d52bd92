# SPDX-License-Identifier: GPL-2.0-only
"""Commands that are killed at a system call, or whose system calls fail: repeat or undo them, and all is clean.

strace kills, or fails, the command at its Nth call of a set. Which N are worth it shows a run without a fault: those of
calls that change something. A dozen of them are taken, evenly spread; with NSBPF_TEST_EVERY=1 in the environment all.
"""
import os
import re
import shutil

import pytest
import snapshot
from families import FAMILIES
from topology import run

pytestmark = [pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed"),
              pytest.mark.families("both")]

CALLS = ("bpf,sendto,sendmsg,clone,clone3,fork,vfork,mkdir,mkdirat,rmdir,unlink,unlinkat,rename,renameat,renameat2,"
         "flock,write,writev,fchmod,setns")
READS = re.compile(r"BPF_(\w+_)?(LOOKUP|GET|QUERY)|RTM_GET|nlmsg_type=0x(12|16|1a|1e)\b|NLM_F_DUMP|0x300|resumed>")
# calls of the children that work in process 1's mount namespace: strace counts by process, and these start late
OF_CHILDREN = ("unshare", "mount", "umount2", "unlink,unlinkat", "rename", "ioctl")
POINTS = 12
KILL, FAIL = "signal=KILL", "error=ENOMEM"


def traced(host, options, command):
    return run("strace", "-f", "-qq", *options, *host.nsbpf_command(*command), check=False, env=host.environment())


def interrupted(host, what, calls, number, command):
    """Runs nsbpf with one fault in it. The exit code is 0 only if the command got through."""
    inject = f"inject={calls}:{what}:when={number}"
    return traced(host, ["-o", os.devnull, "-e", f"trace={calls}", "-e", inject], command)


def points(host, command, path):
    """What to hit: [(calls, number), ...]."""
    traced(host, ["-o", path, "-e", f"trace={CALLS}"], command)
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    main = [line for line in lines if line.split()[0] == lines[0].split()[0] and "(" in line and "resumed>" not in line]
    # the first one is nsenter's setns
    found = [number for number, line in enumerate(main, 1) if number > 1 and not READS.search(line)]
    if not os.environ.get("NSBPF_TEST_EVERY"):
        found = found[::max(1, len(found) // POINTS)]
    return [(CALLS, number) for number in found] + [(calls, number) for calls in OF_CHILDREN for number in (1, 2)]


def prepare(host, command):
    """What has to be there for the command to have work to do."""
    if command != "add":
        host.add("a", "--dns", "192.0.2.53")
        if command in ("unexpose", "del", "down"):
            host.nsbpf("expose", host.name("a"), "5000")
        if command == "network del":
            host.nsbpf("network", "add", "blue", "--subnet", "172.20.0.0/24")


COMMANDS = {
    "add": lambda host: ["add", host.name("a"), "--dns", "192.0.2.53"],
    "del": lambda host: ["del", host.name("a")],
    "expose": lambda host: ["expose", host.name("a"), "5000"],
    "unexpose": lambda host: ["unexpose", host.name("a"), "5000"],
    "network add": lambda host: ["network", "add", "blue", "--subnet", "172.20.0.0/24", "--subnet6", "2001:db8:5::/64"],
    "network del": lambda host: ["network", "del", "blue"],
    "down": lambda host: ["down"],
}


def reaches_outside(netns):
    return all(netns.ping(family.far).returncode == 0 for family in FAMILIES.values())


def check(host, command):
    """The command, repeated, has done its work."""
    endpoints, ports = host.endpoints(), host.json("ports")
    networks = {entry["name"] for entry in host.json("network", "list")}
    if command == "add":
        assert endpoints[host.name("a")]["state"] == "up"
        assert reaches_outside(host.endpoint("a"))
    if command in ("del", "down"):
        assert endpoints == {} and ports == []
    assert ("blue" in networks) == (command == "network add")
    assert bool(ports) == (command == "expose")


def clean(host, before, objects, where):
    host.nsbpf("down")
    changed = snapshot.difference(before, snapshot.take(host))
    assert changed == [], where
    assert snapshot.still_loaded(objects) == set(), where


@pytest.mark.parametrize("command", list(COMMANDS), ids=[command.replace(" ", "-") for command in COMMANDS])
@pytest.mark.parametrize("what", [KILL, FAIL], ids=["killed", "failing"])
@pytest.mark.families("both")
def test_interrupted(host, tmp_path, command, what):
    before = snapshot.take(host)
    words = COMMANDS[command](host)
    prepare(host, command)
    hits = points(host, words, tmp_path / "trace")
    host.nsbpf("down")
    hit = 0
    for turn, (calls, number) in enumerate(hits[what == FAIL::2]):  # each point is one of the two's
        prepare(host, command)
        where = f"{what} at call {number} of {calls} of {' '.join(words)}"
        done = interrupted(host, what, calls, number, words)
        if done.returncode:
            hit += 1
            assert what == KILL or len(done.stderr.splitlines()) == 1, (where, done)
        host.json()
        host.nsbpf("list")
        objects = snapshot.bpf_objects(host)
        if turn % 3 == 0:
            host.nsbpf(*words)
            check(host, command)
        elif turn % 3 == 1 and command == "add":
            host.nsbpf("del", host.name("a"))
            assert host.json("list") == [] and host.name("a") not in snapshot.take(host)["netns"], where
        clean(host, before, objects | snapshot.bpf_objects(host), where)
    assert hit, "strace never hit"


def test_interrupted_while_others_work(host, tmp_path):
    """A command that dies with the lock in its hands holds up nobody."""
    host.add("a")
    command = ["add", host.name("b")]
    hits = points(host, command, tmp_path / "trace")
    host.nsbpf("del", host.name("b"))
    for port, (calls, number) in enumerate(hits[::4], 5000):
        interrupted(host, KILL, calls, number, command)
        host.nsbpf("expose", host.name("a"), str(port), timeout=10)
        assert host.json("ports")[-1]["first"] == port
    host.nsbpf("add", host.name("b"))
    assert reaches_outside(host.endpoint("b"))


def test_a_failing_command_undoes_its_work(host, tmp_path):
    """Not killed, but refused by the kernel: what it made before is gone when it returns, without a `down`."""
    host.add("a")
    before = snapshot.take(host)
    command = ["add", host.name("b"), "--dns", "192.0.2.53"]
    hits = points(host, command, tmp_path / "trace")
    host.nsbpf("del", host.name("b"))
    for calls, number in hits:
        done = interrupted(host, "error=EPERM", calls, number, command)
        if done.returncode == 0:  # a call that may fail
            host.nsbpf("del", host.name("b"))
        else:
            assert len(done.stderr.splitlines()) == 1, done
            assert list(host.endpoints()) == [host.name("a")], f"{calls} {number}: {done.stderr}"
        assert snapshot.difference(before, snapshot.take(host)) == [], f"{calls} {number}: {done.stderr}"


@pytest.mark.attach
def test_killed_command_leaves_the_others_connected(host, tmp_path):
    """What works goes on working while a command dies, and while its remains are removed."""
    ns = host.add("a")
    server = host.outside.tcp_echo(7000, "::")
    talks = [ns.tcp_session(family.far, 7000) for family in FAMILIES.values()]
    command = ["add", host.name("b")]
    hits = points(host, command, tmp_path / "trace")
    host.nsbpf("del", host.name("b"))
    for calls, number in hits[::3]:
        interrupted(host, KILL, calls, number, command)
        assert [talk.ask("one")["data"] for talk in talks] == ["one"] * 2
        assert reaches_outside(ns)
        host.nsbpf("del", host.name("b"))
        assert [talk.ask("two")["data"] for talk in talks] == ["two"] * 2
    assert server.seen
