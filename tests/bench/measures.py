# SPDX-License-Identifier: GPL-2.0-only
"""What is measured on a path: each function makes traffic once and returns one figure, in the unit of its row.

For streams and floods the client is on the first CPU and the server on the last. A packet is carried from one namespace
to the other by the CPU that sent it, so this is the CPU that a slow path slows down. Of a transaction's two sides only
one has something to do at a time: both are on one CPU, else the figure is how long a sleeping CPU takes to wake up.
"""
import contextlib
import json
import os
import subprocess
from collections import namedtuple

from contestant import FAMILY, FIRST_PORT, TOOLS

IPERF_PORT, UDP_PORT, TCP_PORT = range(FIRST_PORT, FIRST_PORT + 3)
CPUS = sorted(os.sched_getaffinity(0))

# How long each takes, in seconds. iperf3 knows whole ones only.
Durations = namedtuple("Durations", "stream other")


def on_cpu(cpu, *command):
    return ["taskset", "-c", str(cpu), *map(str, command)]


@contextlib.contextmanager
def serving(netns, ready, *command, cpu=CPUS[-1]):
    """The process of a server that has said it is ready; gone afterwards."""
    process = netns.popen(*on_cpu(cpu, *command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    try:
        said = ""
        while ready not in said:
            line = process.stdout.readline()
            if not line:
                raise AssertionError(f"ended: {' '.join(map(str, command))}: {said}")
            said += line
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def client(netns, *command, timeout=60):
    return netns.run(*on_cpu(CPUS[0], *command), timeout=timeout).stdout


def result(said):
    try:
        return json.loads(said)
    except ValueError:
        raise AssertionError(f"no result: {said.strip()}") from None


def stream(path, durations, *options):
    with serving(path.server, "listening", "iperf3", "--server", "--one-off", "--forceflush", "--port", IPERF_PORT):
        said = client(path.client, "iperf3", "--json", "--client", path.address, "--port", IPERF_PORT,
                      "--time", durations.stream, *options, timeout=durations.stream + 30)
    return result(said)["end"]["sum_received"]["bits_per_second"] / 1e9


def stream_back(path, durations):
    return stream(path, durations, "--reverse")


def flood(path, durations):
    tool = f"{TOOLS}/udpflood"
    with serving(path.server, "ready", tool, "receive", FAMILY.any, UDP_PORT, durations.other) as receiver:
        # longer than the receiver counts, which is from the first packet on
        client(path.client, tool, "send", path.address, UDP_PORT, durations.other + 0.2)
        received = result(receiver.stdout.read())
    return received["packets"] / received["seconds"] / 1e3


def transactions(path, durations, kind):
    """New connections draw their ports from some 28,000, so many come upon what conntrack keeps of a closed one."""
    tool = f"{TOOLS}/tcprr"
    with serving(path.server, "ready", tool, "serve", FAMILY.any, TCP_PORT, cpu=CPUS[0]):
        done = result(client(path.client, tool, kind, path.address, TCP_PORT, durations.other))
    return done["transactions"] / done["seconds"] / 1e3


def requests(path, durations):
    return transactions(path, durations, "requests")


def connections(path, durations):
    return transactions(path, durations, "connections")


Measure = namedtuple("Measure", "title unit run")

MEASURES = {
    "stream": Measure("TCP stream to the server", "Gbit/s", stream),
    "stream_back": Measure("TCP stream to the client", "Gbit/s", stream_back),
    "packets": Measure(f"UDP, {44 + FAMILY.header} bytes, received", "1000/s", flood),
    "requests": Measure("TCP request, response", "1000/s", requests),
    "connections": Measure("TCP connect, request, close", "1000/s", connections),
}
