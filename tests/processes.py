# SPDX-License-Identifier: GPL-2.0-only
"""The processes that tests start, and what they say: commands, echo servers and their clients, captures.

topology.py puts them into namespaces; agents.py is what runs there.
"""
import contextlib
import json
import os
import subprocess
import threading
import time

PYTHON = "/usr/bin/python3"
AGENTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "agents.py")


def wait_for(predicate, timeout=5.0, what=None):
    """Polls until predicate() is true, and returns what it returned; fails the test after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= end:
            raise AssertionError(f"not so within {timeout} s: {what or predicate}")
        time.sleep(0.02)


def run(*command, check=True, timeout=60, **more):
    """Runs a command with its output collected as text; with check a failure shows everything there is to know."""
    command = [str(word) for word in command]
    more.setdefault("stdin", subprocess.DEVNULL if "input" not in more else None)
    if more["stdin"] is None:
        del more["stdin"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout,
                          errors="surrogateescape", **more)
    if check and done.returncode:
        raise AssertionError(f"exit code {done.returncode} of: {' '.join(command)}\n{done.stdout}{done.stderr}")
    return done


class Line(dict):
    """What an agent said; a key that is not there fails the test with all that is."""

    def __missing__(self, key):
        raise AssertionError(f"no {key!r} in {dict(self)}")


class Agent:
    """A program of agents.py in a namespace. `lines` is what it said so far; stopped by its pid."""
    script = AGENTS

    def __init__(self, netns, *arguments, ready_within=10):
        self.process = netns.popen(*self.command(), *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   text=True)
        self.lines = []
        self._taken = 0
        self._more = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.first = self.next(ready_within)

    def command(self):
        return [PYTHON, self.script]

    def _read(self):
        for line in self.process.stdout:
            with self._more:
                self.lines.append(json.loads(line, object_hook=Line))
                self._more.notify_all()
        with self._more:
            self._ended = True
            self._more.notify_all()

    def next(self, timeout=5.0):
        """The next line that this did not return yet."""
        with self._more:
            self._more.wait_for(lambda: len(self.lines) > self._taken or self._ended, timeout)
            if len(self.lines) <= self._taken:
                how = "ended" if self._ended else f"said nothing within {timeout} s"
                raise AssertionError(f"{how}: {self.process.args}")
            self._taken += 1
            return self.lines[self._taken - 1]

    def wait(self, predicate, count=1, timeout=5.0):
        """Waits until `count` lines fulfil predicate(line), and returns those that do."""
        def found():
            return [line for line in self.lines if predicate(line)]
        with self._more:
            if not self._more.wait_for(lambda: len(found()) >= count, timeout):
                raise AssertionError(f"{len(found())} of {count} within {timeout} s; seen: {self.lines[-20:]}")
            return found()

    def stop(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(2)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(2)
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Server(Agent):
    """An echo or web server. Each line: {"peer", "port", "local", "local_port", "data"} as the server saw it."""

    @property
    def port(self):
        return self.first["ready"]

    @property
    def seen(self):
        return self.lines[1:]


class Session(Agent):
    """A client: .first says where it is bound, ask() sends a line and returns the server's view; or {"error"}.

    For UDP the answer's "from" and "from_port" say where it came from.
    """

    @property
    def error(self):
        return self.lines[-1].get("error")

    def ask(self, text="hello", timeout=10):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(text + "\n")
            self.process.stdin.flush()
        if self.error:
            return self.lines[-1]
        return self.next(timeout)


class Packet:
    """A captured frame. pkttype is the kernel's: HOST 0, BROADCAST 1, MULTICAST 2, OTHERHOST 3, OUTGOING 4.

    `partial`: the kernel has yet to fill in its checksum (CHECKSUM_PARTIAL), so a wrong one there is no fault.
    """
    HOST, BROADCAST, MULTICAST, OTHERHOST, OUTGOING = range(5)

    def __init__(self, line):
        self.frame = bytes.fromhex(line["frame"])
        self.pkttype = line["pkttype"]
        self.partial = line["partial"]
        self._ether = None

    @property
    def ether(self):
        if self._ether is None:
            from scapy.layers.inet6 import Ether, IPv6  # noqa: F401  teaches Ether what follows it
            self._ether = Ether(self.frame)
        return self._ether

    def __contains__(self, layer):
        return layer in self.ether

    def __getitem__(self, layer):
        return self.ether[layer]

    def __repr__(self):
        return f"<{'out' if self.pkttype == self.OUTGOING else 'in'} {self.ether.summary()}>"


class Capture(Agent):
    """Frames of a device of a namespace, from the moment the constructor returns."""

    def __init__(self, netns, device):
        self._parsed = []
        super().__init__(netns, "capture", device)

    @property
    def packets(self):
        lines = self.lines[1:]
        for line in lines[len(self._parsed):]:
            self._parsed.append(Packet(line))
        return list(self._parsed)

    def matching(self, predicate):
        return [packet for packet in self.packets if predicate(packet)]

    def expect(self, predicate, count=1, timeout=5.0):
        """Waits for `count` packets that fulfil predicate(packet); returns all that do so far."""
        end = time.monotonic() + timeout
        while True:
            found = self.matching(predicate)
            if len(found) >= count:
                return found
            if time.monotonic() >= end or self._ended:
                raise AssertionError(f"{len(found)} of {count} packets within {timeout} s; seen: {self.packets[-30:]}")
            with self._more:
                have = len(self.lines)
                self._more.wait_for(lambda: len(self.lines) > have or self._ended, max(0, end - time.monotonic()))
