# SPDX-License-Identifier: GPL-2.0-only
"""What is measured on a path: each function makes traffic once and returns its figures.

For streams and floods the client is on the first CPU and the server on the last. A packet is carried from one namespace
to the other by the CPU that sent it, so this is the CPU that a slow path slows down. Of a transaction's two sides only
one has something to do at a time: both are on one CPU, else the figure is how long a sleeping CPU takes to wake up.
"""
import contextlib
import functools
import json
import os
import resource
import subprocess
from collections import namedtuple

from contestant import FAMILY, FIRST_PORT, LAST_PORT, TOOLS

IPERF_PORT, UDP_PORT = FIRST_PORT, FIRST_PORT + 1
TCP_PORTS = tuple(range(FIRST_PORT + 2, LAST_PORT + 1))
SMALL, LARGE = 18, 1400 - 28  # payloads: over IPv4 64 bytes on the wire, and a packet of 1400
CPUS = sorted(os.sched_getaffinity(0))

# How long a stream is, as iperf3 is told, and how many seconds all else takes.
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


def cpu_times():
    """user, nice, system, idle, iowait, irq, softirq, steal of all CPUs."""
    with open("/proc/stat", encoding="utf-8") as stat:
        return [int(word) for word in stat.readline().split()[1:9]]


def processes_seconds():
    """CPU time of all processes that have ended, and of the softirqs that ran while they had the CPU, which is where
    packets are carried. Whatever else this machine does is not in it."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def stream(path, durations, options):
    """By Reno, whatever this machine's default is: with BBR its timers would be measured, not the way of a packet.
    The CPU time is both processes'. It has the start of iperf3 in it, some 20 ms, as everybody's has."""
    before = processes_seconds()
    with serving(path.server, "listening", "iperf3", "--server", "--one-off", "--forceflush", "--port", IPERF_PORT):
        said = client(path.client, "iperf3", "--json", "--client", path.address, "--port", IPERF_PORT,
                      "--congestion", "reno", *durations.stream, *options)
    received = result(said)["end"]["sum_received"]
    spent = processes_seconds() - before
    return {"rate": received["bits_per_second"] / 1e9, "cpu": spent * 1e3 / (received["bytes"] * 8e-9)}


def flood(path, durations, payload, port=UDP_PORT):
    tool = f"{TOOLS}/udpflood"
    with serving(path.server, "ready", tool, "receive", FAMILY.any, port, durations.other) as receiver:
        # longer than the receiver counts, which is from the first packet on
        client(path.client, tool, "send", path.address, port, durations.other + 0.2, payload)
        received = result(receiver.stdout.read())
    return {"rate": received["packets"] / received["seconds"] / 1e3}


def transactions(path, durations, kind, ports=TCP_PORTS):
    """tcprr.c says why connections go to several ports."""
    tool, ports, before = f"{TOOLS}/tcprr", ",".join(map(str, ports)), processes_seconds()
    with serving(path.server, "ready", tool, "serve", FAMILY.any, ports, cpu=CPUS[0]):
        done = result(client(path.client, tool, kind, path.address, ports, durations.other))
    spent = processes_seconds() - before
    return {"rate": done["transactions"] / done["seconds"] / 1e3, "cpu": spent * 1e6 / done["transactions"],
            "p50": done["p50_us"], "p99": done["p99_us"]}


def requests(path, durations):
    return transactions(path, durations, "requests")


def connections(path, durations):
    return transactions(path, durations, "connections")


# A row: `higher` is better, or not.
Figure = namedtuple("Figure", "title unit higher")
Measure = namedtuple("Measure", "title run figures")


def _stream(title, *options):
    return Measure(title, functools.partial(stream, options=options), {
        "rate": Figure(title, "Gbit/s", True),
        "cpu": Figure("  CPU time for it", "ms/Gbit", False),
    })


def _flood(title, payload):
    return Measure(title, functools.partial(flood, payload=payload), {"rate": Figure(title, "1000/s", True)})


def _transactions(title, run):
    return Measure(title, run, {
        "rate": Figure(title, "1000/s", True),
        "cpu": Figure("  CPU time of one", "µs", False),
        "p50": Figure("  half within", "µs", False),
        "p99": Figure("  99 % within", "µs", False),
    })


MEASURES = {
    "stream": _stream("TCP to the server"),
    "stream_back": _stream("TCP to the client", "--reverse"),
    "streams": _stream("8 × TCP to the server", "--parallel", "8"),
    "streams_back": _stream("8 × TCP to the client", "--parallel", "8", "--reverse"),
    "packets": _flood(f"UDP, {SMALL + 26 + FAMILY.header} bytes, received", SMALL),
    "packets_large": _flood(f"UDP, {LARGE + 8 + FAMILY.header} bytes, received", LARGE),
    "requests": _transactions("TCP request, response", requests),
    "connections": _transactions("TCP connect, req., close", connections),
}
