# SPDX-License-Identifier: GPL-2.0-only
"""nsbpf beside the bare wire and the classic recipe: traffic, commands, and the BPF programs alone.

All contestants exist at once, and take turns at each measure of each round: what disturbs the machine for a while
disturbs them alike. The bare wire runs with each path again, so that its figure is of the same minute.
"""
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import namedtuple

from contestants import PATHS, Bare, contestants
from measures import MEASURES, TOOLS, Durations
from program_cost import program_cost
from report import Progress, add_ratios, cpu_times, machine, print_machine, print_results, stolen_share, summary
from setup_times import STEPS, setup_times

FAILURES = (AssertionError, OSError, subprocess.TimeoutExpired, ValueError, KeyError)
Plan = namedtuple("Plan", "rounds durations setups program_runs")


def plan():
    quick = os.environ.get("QUICK", "") not in ("", "0")
    try:
        rounds = int(os.environ.get("ROUNDS") or (1 if quick else 5))
    except ValueError:
        rounds = 0
    if rounds < 1:
        sys.exit("bench: ROUNDS has to be a number above 0")
    return Plan(rounds, Durations(1, 0.3), 2, 2000) if quick else Plan(rounds, Durations(2, 1), 10, 40000)


class Bench:
    def __init__(self, what):
        self.plan = what
        self.classes = contestants()
        self.failures = []
        figures = what.rounds * len(PATHS) * len(MEASURES) * len(self.classes)
        self.progress = Progress(figures + what.setups * (len(self.classes) - 1) + 1)

    def run(self):
        with contextlib.ExitStack() as stack:
            entrants = []
            for kind in self.classes:
                entrants.append(kind())
                stack.callback(entrants[-1].host.close)
            for entrant in entrants:
                entrant.prepare()
            traffic = self.traffic(entrants)
            programs = self.programs(entrants)
        setup = self.setup()
        self.progress.end()
        return {"contestants": {kind.key: kind.title for kind in self.classes}, "traffic": traffic, "setup": setup,
                "programs": programs, "failures": self.failures}

    def traffic(self, entrants):
        samples = {path: {measure: {entrant.key: [] for entrant in entrants} for measure in MEASURES} for path in PATHS}
        for number in range(self.plan.rounds):
            self.progress.milestone(f"round {number + 1} of {self.plan.rounds}")
            # Another one begins each time: nobody always follows the same neighbour's leftovers.
            first = number % len(entrants)
            order = entrants[first:] + entrants[:first]
            for path, measure, entrant in ((p, m, e) for p in PATHS for m in MEASURES for e in order):
                what = f"round {number + 1}, {PATHS[path]}, {MEASURES[measure].title}, {entrant.title}"
                with self.attempt(what):
                    figure = MEASURES[measure].run(entrant.paths[path], self.plan.durations)
                    samples[path][measure][entrant.key].append(figure)
        traffic = {path: {measure: {key: summary(values) for key, values in cells.items()}
                          for measure, cells in rows.items()} for path, rows in samples.items()}
        add_ratios(traffic)
        return traffic

    def setup(self):
        """On hosts of their own, because the first endpoint of a host is one of the steps."""
        kinds = [kind for kind in self.classes if kind is not Bare]
        samples = {step: {kind.key: [] for kind in kinds} for step in STEPS}
        self.progress.milestone("commands")
        with contextlib.ExitStack() as stack:
            entrants = []
            for kind in kinds:
                entrants.append(kind())
                stack.callback(entrants[-1].host.close)
            for entrant in entrants * self.plan.setups:
                with self.attempt(f"commands, {entrant.title}"):
                    for step, figure in setup_times(entrant).items():
                        samples[step][entrant.key].append(figure)
        return {step: {key: summary(values) for key, values in cells.items()} for step, cells in samples.items()}

    def programs(self, entrants):
        with self.attempt("BPF programs"):
            # How they are attached makes no difference here: the last one is there on any kernel.
            cost = program_cost(entrants[-1], self.plan.program_runs)
            programs = {}
            for (name, family), samples in cost.items():
                programs.setdefault(name, {})[f"IPv{family}"] = summary(samples)
            return programs
        return {}

    @contextlib.contextmanager
    def attempt(self, what):
        """A failure costs one figure, not the whole run; it is told at once and at the end."""
        self.progress.step(what)
        try:
            yield
        except FAILURES as failure:
            self.progress.problem(f"{what}: {failure}")
            self.failures.append(f"{what}: {failure}")


def main():
    if os.geteuid():
        sys.exit("bench: only root can do this (sudo make bench)")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit("\nbench: interrupted"))
    about, before = machine(), cpu_times()
    print_machine(about)
    bench = Bench(plan())
    results = {"machine": about, "plan": {**bench.plan._asdict(), "durations": bench.plan.durations._asdict()},
               **bench.run(), "stolen": stolen_share(before, cpu_times())}
    print_results(results)
    with open(f"{TOOLS}/results.json", "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
    print(f"\nrounds: {bench.plan.rounds}; time that the hypervisor took: {100 * results['stolen']:.1f} %; "
          "all samples: build/bench/results.json")
    if bench.failures:
        sys.exit(f"bench: {len(bench.failures)} of the measurements failed, the first: {bench.failures[0]}")


if __name__ == "__main__":
    main()
