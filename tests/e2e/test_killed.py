# SPDX-License-Identifier: GPL-2.0-only
"""Commands that are killed at a system call, or whose system calls fail: repeat or undo them, and all is clean.

strace kills, or fails, the command at the Nth call of a kind; N goes up until the command gets through. A call is
counted per process, so the children that enter process 1's mount namespace are hit as well.
"""
import shutil

import pytest
import snapshot
from topology import OUTSIDE_FAR, run

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")

# What changes something outside the process. Some of bpf's many calls make do: the first ones, and then ever fewer.
EVERY = range(1, 60)
SOME = [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 22, 27, 33, 40, 48, 58, 70, 84, 100, 120, 145, 175, 210, 250, 300]
CALLS = {
    "bpf": SOME, "sendto,sendmsg": EVERY, "mount,umount2,move_mount,open_tree": EVERY,
    "clone,clone3,fork,vfork": EVERY, "unshare,setns": EVERY, "mkdir,mkdirat,rmdir,unlink,unlinkat": EVERY,
    "rename,renameat,renameat2,link,symlink": EVERY, "openat": SOME, "flock,fcntl": EVERY, "write": EVERY,
}
ROUNDS = 30  # at most, per kind of call


def interrupted(host, what, calls, number, *command):
    """Runs nsbpf with one fault in it. What it returns is 0 only if the command got through."""
    return run("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e",
               f"inject={calls}:{what}:when={number}", *host.nsbpf_command(*command), check=False,
               env=host.environment())


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
    "network add": lambda host: ["network", "add", "blue", "--subnet", "172.20.0.0/24"],
    "network del": lambda host: ["network", "del", "blue"],
    "down": lambda host: ["down"],
}


def check(host, command):
    """The command, repeated, has done its work."""
    endpoints, ports = host.endpoints(), host.json("ports")
    networks = {entry["name"] for entry in host.json("network", "list")}
    if command == "add":
        assert endpoints[host.name("a")]["state"] == "up"
        assert host.endpoint("a").ping(OUTSIDE_FAR).returncode == 0
    if command in ("del", "down"):
        assert endpoints == {} and ports == []
    assert ("blue" in networks) == (command == "network add")
    assert bool(ports) == (command == "expose")


def clean(host, before, objects, where):
    host.nsbpf("down")
    changed = snapshot.difference(before, snapshot.take(host))
    assert changed == [], where
    assert snapshot.still_loaded(objects) == set(), where


@pytest.mark.parametrize("calls", list(CALLS), ids=[calls.split(",")[0] for calls in CALLS])
@pytest.mark.parametrize("command", list(COMMANDS), ids=[command.replace(" ", "-") for command in COMMANDS])
@pytest.mark.parametrize("what", ["signal=KILL", "error=ENOMEM"], ids=["killed", "failing"])
def test_interrupted(host, command, calls, what):
    before = snapshot.take(host)
    prepare(host, command)
    words = COMMANDS[command](host)
    for turn, number in enumerate(list(CALLS[calls])[:ROUNDS]):
        where = f"{what} at {calls} {number} of {' '.join(words)}"
        done = interrupted(host, what, calls, number, *words)
        if done.returncode == 0:
            break
        assert what.startswith("signal") or len(done.stderr.splitlines()) == 1, (where, done)
        host.json()
        host.nsbpf("list")
        objects = snapshot.bpf_objects(host)
        if turn % 3 == 0:
            host.nsbpf(*words)
            check(host, command)
        elif turn % 3 == 1 and command == "add":
            host.nsbpf("del", host.name("a"))
            assert host.json("list") == [] and host.name("a") not in snapshot.take(host)["netns"], where
            objects |= snapshot.bpf_objects(host)
        clean(host, before, objects | snapshot.bpf_objects(host), where)
        prepare(host, command)


def test_interrupted_while_others_work(host):
    """A command that dies with the lock in its hands holds up nobody."""
    host.add("a")
    for number in (1, 4, 9):
        interrupted(host, "signal=KILL", "sendto,sendmsg", number, "add", host.name("b"))
        host.nsbpf("expose", host.name("a"), str(5000 + number), timeout=10)
    assert [entry["first"] for entry in host.json("ports")] == [5001, 5004, 5009]
    host.nsbpf("add", host.name("b"))
    assert host.endpoint("b").ping(OUTSIDE_FAR).returncode == 0


def test_a_failing_command_undoes_its_work(host):
    """Not killed, but refused by the kernel: what it made before is gone when it returns, without a `down`."""
    host.add("a")
    before = snapshot.take(host)
    for calls, numbers in (("sendto,sendmsg", range(1, 30)), ("mount", range(1, 5)), ("bpf", [1, 3, 5, 8])):
        for number in numbers:
            done = interrupted(host, "error=EPERM", calls, number, "add", host.name("b"), "--dns", "192.0.2.53")
            if done.returncode == 0:
                host.nsbpf("del", host.name("b"))
                break
            assert len(done.stderr.splitlines()) == 1, done
            assert snapshot.difference(before, snapshot.take(host)) == [], f"{calls} {number}: {done.stderr}"
            assert list(host.endpoints()) == [host.name("a")]


@pytest.mark.attach
def test_killed_command_leaves_the_others_connected(host):
    """What works goes on working while a command dies."""
    ns = host.add("a")
    server = host.outside.tcp_echo(7000)
    talk = ns.tcp_session(OUTSIDE_FAR, 7000)
    for number in (1, 2, 3, 5, 8, 13):
        interrupted(host, "signal=KILL", "sendto,sendmsg", number, "add", host.name("b"))
        assert talk.ask(f"{number}")["data"] == f"{number}"
        assert ns.ping(OUTSIDE_FAR).returncode == 0
        host.nsbpf("del", host.name("b"))
        assert talk.ask("again")["data"] == "again"
    assert server.seen
