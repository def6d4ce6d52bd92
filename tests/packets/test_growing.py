# SPDX-License-Identifier: GPL-2.0-only
"""`set connections` on a host that has connections: each is as it was, all maps agree, and what a killed command leaves
is one whole table. That traffic goes on meanwhile is in e2e/test_grow.py.
"""
import collections
import contextlib
import re
import shutil

import pytest
from bpf import REDIRECT
from flows import PROTOS, Flood, answer, assured, first_packet, open_flow
from rig import Rig
from scapy.layers.inet import TCP, UDP
from siblings import FAMILIES
from state import State
from topology import Host, run, wait_for

pytestmark = pytest.mark.families("both")

needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")

ROOM = 8192
CALLS = "bpf,mkdir,renameat2,unlink,unlinkat,rmdir,sendto"


class Growing:
    """A host with a small table, and its state as it is now."""

    def __init__(self):
        self._stack = contextlib.ExitStack()
        self.host = self._stack.enter_context(Host())
        self.host.nsbpf("set", "connections", ROOM)
        self.rig = Rig(self.host)
        self._stack.callback(self.rig.close)
        self.state = State(self.rig)
        self.flows = []

    def look(self):
        """The table may be another one now."""
        self.state.close()
        self.rig.close()
        self.rig.open()
        self.state = State(self.rig)
        self.state.check()

    def grow(self, room):
        self.host.nsbpf("set", "connections", room)
        self.look()
        assert self.room == room == self.host.json("get", "connections")["value"]

    @property
    def room(self):
        return self.rig.connections.room

    def open_all_kinds(self):
        """Answered ones and others, by bindings of the endpoint's own port and of another one; in and hairpin."""
        for self.rig.family in FAMILIES.values():
            for proto in PROTOS:
                port = self.rig.port()
                for node in self.rig.a, self.rig.b:
                    self.flows.append((self.rig.family, node, proto, port, assured(self.rig, node, proto, port)))
                open_flow(self.rig, self.rig.a, proto, self.rig.port())
            port = self.rig.port()
            for l4 in TCP(sport=port, dport=5000, flags="S"), UDP(sport=port, dport=5001):
                assert self.rig.from_uplink(self.rig.arrived() / l4)[0] == REDIRECT
                assert self.rig.from_endpoint(self.rig.b, self.rig.sent(self.rig.b, "198.51.100.1") / l4)[0] == REDIRECT
        self.state.check()

    def all_live(self):
        for self.rig.family, node, proto, port, chosen in self.flows:
            answer(self.rig, node, proto, port, chosen)

    def known(self):
        """All of every connection, but its tags and the route, which is looked up again."""
        return {key: {name: value for name, value in vars(entry).items() if name not in ("tag", "routed")}
                for key, entry in self.state.entries().items()}

    def close(self):
        self.state.close()
        self._stack.close()


@pytest.fixture
def growing():
    growing = Growing()
    yield growing
    growing.close()


def test_each_is_as_it_was(growing):
    growing.open_all_kinds()
    before = growing.known(), growing.state.bindings(), growing.state.nat_addresses()
    counters = growing.state.pressure()
    assert len(before[0]) == 2 * 26 and before[1]
    for room in 2 * ROOM, 16 * ROOM:
        growing.grow(room)
        assert (growing.known(), growing.state.bindings(), growing.state.nat_addresses()) == before
        assert growing.state.pressure()[2:4] == counters[2:4] and not growing.state.pressure().frozen
    growing.all_live()
    # They end as others do: by their time, though none has been opened since that would have started the sweep.
    growing.host.nsbpf("set", "timeout.udp", "1s")
    growing.host.nsbpf("set", "timeout.icmp", "1s")
    wait_for(lambda: growing.state.usage().connections == 10, what="only TCP is left")
    growing.state.check()
    for key, entry in growing.state.entries().items():
        if entry.original:
            assert growing.rig.end_connection(key) == 0
    growing.state.check()
    assert growing.state.usage() == (0, 0) and growing.state.bindings() == {}


def flood(growing, node, count):
    """Unanswered connections, each to another port."""
    packet = first_packet(growing.rig, node, "udp", 1)
    Flood(growing.rig, packet, node).send((20000 + number % 10000, 100 + number // 10000) for number in range(count))


def test_the_oldest_give_way_still(growing):
    """The ring of those that may has another length, and has gone round before."""
    rig = growing.rig
    node = rig.add("limited", "--max-connections", "5")
    flood(growing, node, 5 * ROOM)
    assert growing.state.pressure().opened > 4 * ROOM
    ports = [rig.port() for _ in range(5 + 3)]
    for port in ports[:5]:
        open_flow(rig, node, "udp", port)
    gave_way = growing.state.pressure().gave_way
    growing.grow(2 * ROOM)
    for port in ports[5:]:
        open_flow(rig, node, "udp", port)
    assert growing.state.usage(node).connections == 5
    assert [bool(growing.state.entries_of("udp", port)) for port in ports] == [False] * 3 + [True] * 5
    assert growing.state.pressure().gave_way == gave_way + 3
    growing.state.check()


def test_full(growing):
    """As full as an endpoint makes it; then it has room for more, by the new measure."""
    flood(growing, growing.rig.c, 2 * ROOM)
    before = growing.known()
    assert len(before) == 2 * -(-ROOM * 8 // 9)
    growing.grow(2 * ROOM)
    assert growing.known() == before
    flood(growing, growing.rig.c, 3 * ROOM)
    assert growing.state.usage().connections == -(-2 * ROOM * 8 // 9)
    growing.state.check()


def calls(host, path):
    """What a command does that grows the table: (system call, which of them, the line), in order."""
    counts, found = collections.Counter(), []
    traced(host, ["-o", path, "-e", f"trace={CALLS}"], 2 * ROOM)
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        name = re.match(r"\d+ +(\w+)\(", line)
        if name:
            counts[name[1]] += 1
            found.append((name[1], counts[name[1]], line))
    return found


def traced(host, options, room):
    return run("strace", "-f", "-qq", *options, *host.nsbpf_command("set", "connections", room), check=False,
               env=host.environment())


def injected(host, path, fault, room):
    return traced(host, ["-o", path, "-e", f"trace={fault.split(':')[0]}", "-e", f"inject={fault}"], room)


def points(found):
    """Where to kill it. bpf(2) is called the more often the larger the table is, so only the first ones are counted."""
    exchange = next(number for number, call in enumerate(found) if call[0] == "renameat2")
    first_run = next(number for number, call in enumerate(found[:exchange]) if "BPF_PROG_TEST_RUN" in call[2])
    pins = [number for number, call in enumerate(found[:first_run]) if "BPF_OBJ_PIN" in call[2]]
    after = [number for number, call in enumerate(found) if number > exchange and call[0] != "bpf"]
    made = next(number for number, call in enumerate(found) if "-new" in call[2] and call[0] == "mkdir")
    return [found[number][:2] for number in (made + 1, pins[3], pins[-1], first_run, exchange - 1, exchange, after[0],
                                             after[len(after) // 2], after[-1]) if found[number][0] != "bpf" or
            number <= first_run]


@needs_strace
def test_failing(growing, tmp_path):
    """A system call fails: all is as before at once, and the command says why."""
    host = growing.host
    growing.open_all_kinds()
    path = tmp_path / "trace"
    found = [(name, number) for name, number in points(calls(host, path)) if name in ("bpf", "renameat2")]
    growing.look()
    before = growing.known()
    for name, number in found:
        done = injected(host, path, f"{name}:error=ENOMEM:when={number}", 2 * growing.room)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "allocate memory" in done.stderr
        assert not growing.state.pressure().frozen and len(host.pin_directories()) == 1
        growing.all_live()
        open_flow(growing.rig, growing.rig.a, "udp", growing.rig.port())
    assert growing.room == 2 * ROOM and growing.known().keys() > before.keys()
    growing.state.check()


@needs_strace
def test_killed(growing, tmp_path):
    """The next command that changes something finds, or makes, one whole table; listings need not wait for it."""
    host, rig = growing.host, growing.rig
    growing.open_all_kinds()
    path = tmp_path / "trace"
    found = points(calls(host, path))
    growing.look()
    was_grown = []
    for turn, (name, number) in enumerate(found):
        before, room = growing.known(), growing.room
        injected(host, path, f"{name}:signal=KILL:when={number}", 2 * room)
        host.json()
        growing.all_live()
        host.nsbpf("set", "timeout.fragment", 31 + turn)
        growing.look()
        was_grown.append(growing.room == 2 * room)
        assert growing.room in (room, 2 * room) and host.json("get", "connections")["value"] == growing.room
        assert growing.known().keys() == before.keys() and len(host.pin_directories()) == 1
        assert not growing.state.pressure().frozen
        growing.all_live()
        open_flow(rig, rig.a, "udp", rig.port())
        growing.state.check()
    assert set(was_grown) == {True, False}, found
