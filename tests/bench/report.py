# SPDX-License-Identifier: GPL-2.0-only
"""How the benchmark tells: its progress while it runs, then tables; results as plain data for the JSON file."""
import os
import shutil
import statistics
import sys
import time

from contestant import FAMILY, PATHS
from measures import MEASURES
from processes import run
from program_cost import PROGRAMS
from setup_times import STEPS

LABEL, UNIT, CELL = 28, 7, 23


class Progress:
    """On a terminal one line that changes; else one a round, so that a log stays short."""

    def __init__(self, total):
        self.total, self.done, self.start = total, 0, time.monotonic()
        self.terminal = sys.stderr.isatty()

    def step(self, what):
        if self.terminal:
            line = f"{self.percent()} {what}"[:shutil.get_terminal_size().columns - 1]
            print(f"{self.clear()}{line}", end="", file=sys.stderr, flush=True)
        self.done += 1

    def milestone(self, what):
        if not self.terminal:
            print(f"{self.percent()} {what}", file=sys.stderr, flush=True)

    def problem(self, what):
        print(f"{self.clear()}failed: {what}", file=sys.stderr, flush=True)

    def end(self):
        print(self.clear(), end="", file=sys.stderr, flush=True)

    def percent(self):
        spent = time.monotonic() - self.start
        left = f", {spent / self.done * (self.total - self.done) / 60:.0f} min left" if self.done else ""
        return f"[{100 * self.done // self.total:3d} %{left}]"

    def clear(self):
        return "\r\033[K" if self.terminal else ""


def summary(samples):
    if not samples:
        return {"samples": []}
    return {"median": statistics.median(samples), "min": min(samples), "max": max(samples), "samples": samples}


def add_ratios(traffic):
    """Of each median to the bare wire's in the same row."""
    for rows in traffic.values():
        for cells in rows.values():
            bare = cells["bare"].get("median")
            for cell in cells.values():
                if bare and "median" in cell:
                    cell["ratio"] = cell["median"] / bare


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
        model = next((line.split(":", 1)[1].strip() for line in cpuinfo if line.startswith("model name")), "unknown")
    return {
        "kernel": os.uname().release,
        "machine": os.uname().machine,
        "cpu": model,
        "cpus": len(os.sched_getaffinity(0)),
        "hypervisor": "hypervisor" in _cpu_flags(),
        "iptables": run("iptables", "--version").stdout.strip(),
        "iperf3": run("iperf3", "--version").stdout.split("\n", 1)[0],
        "load_before": os.getloadavg()[0],
        "family": FAMILY.number,
    }


def _cpu_flags():
    with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
        return next((line.split() for line in cpuinfo if line.startswith("flags")), [])


def stolen_share(before, after):
    """Of the time between two readings of cpu_times(), what the hypervisor kept for others."""
    spent = [b - a for a, b in zip(before, after)]
    return spent[7] / max(1, sum(spent[:8]))


def cpu_times():
    with open("/proc/stat", encoding="utf-8") as stat:
        return [int(word) for word in stat.readline().split()[1:]]


# tables
def print_machine(about):
    print(f"Linux {about['kernel']} {about['machine']}, {about['cpus']} × {about['cpu']}"
          f"{' (virtual)' if about['hypervisor'] else ''}, {about['iptables']}, {about['iperf3']}; "
          f"traffic by IPv{about['family']}")
    if about["load_before"] >= 1:
        print(f"The machine is busy (load {about['load_before']:.1f}): the figures below mean little.")


def print_results(results):
    contestants = results["contestants"]
    if "traffic" in results:
        print("\nmedian (lowest–highest) ratio to the bare wire")
    for path, rows in results.get("traffic", {}).items():
        _heading(PATHS[path], contestants.values())
        for key, cells in rows.items():
            _row(MEASURES[key].title, MEASURES[key].unit, [cells[contestant] for contestant in contestants])
    if results.get("setup"):
        with_commands = [key for key in contestants if key in next(iter(results["setup"].values()))]
        _heading("commands", [contestants[key] for key in with_commands])
        for step, cells in results["setup"].items():
            _row(STEPS[step], "ms", [cells[key] for key in with_commands])
    if results.get("programs"):
        _heading("BPF programs, one packet", results["programs"]["empty"])
        for name, cells in results["programs"].items():
            _row(PROGRAMS[name], "ns", cells.values())


def _heading(title, columns):
    print(f"\n{title:<{LABEL + UNIT}}" + "".join(f"{column:>{CELL}}" for column in columns))


def _row(title, unit, cells):
    print(f"{title:<{LABEL}}{unit:<{UNIT}}" + "".join(f"{_cell(cell):>{CELL}}" for cell in cells))


def _cell(cell):
    if "median" not in cell:
        return "failed"
    text = f"{_figure(cell['median'])} ({_figure(cell['min'])}–{_figure(cell['max'])})"
    return f"{text} {cell['ratio']:.2f}" if "ratio" in cell else text


def _figure(value):
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}"
