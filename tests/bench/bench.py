# SPDX-License-Identifier: GPL-2.0-only
"""nsbpf beside the bare wire and what else there is: traffic, commands, and the BPF programs alone.

All contestants exist at once, and take turns at each measure of each round: what disturbs the machine for a while
disturbs them alike. The bare wire runs with each path again, so that its figure is of the same minute.
"""
import contextlib
import json
import os
import signal
import subprocess
import sys

from contestant import PATHS, TOOLS
from contestants import contestants
from measures import MEASURES
from plan import plan
from program_cost import program_cost
from report import Progress, add_ratios, cpu_times, machine, print_machine, print_results, stolen_share, summary
from setup_times import STEPS, setup_times

FAILURES = (AssertionError, OSError, subprocess.TimeoutExpired, ValueError, KeyError)


class Bench:
    def __init__(self, what):
        self.plan = what
        self.classes = contestants()
        self.failures = []
        self.parts = {"traffic": self.traffic, "setup": self.setup, "programs": self.programs}
        steps = {"traffic": what.rounds * len(what.paths) * len(MEASURES) * len(self.classes),
                 "setup": what.setups * len(self.with_commands()), "programs": 1}
        self.progress = Progress(sum(steps[part] for part in what.parts))

    def with_commands(self):
        return [kind for kind in self.classes if kind.has_commands]

    def run(self):
        results = {part: self.parts[part]() for part in self.plan.parts}
        self.progress.end()
        return {"contestants": {kind.key: kind.title for kind in self.classes}, **results, "failures": self.failures}

    @contextlib.contextmanager
    def entrants(self, kinds):
        with contextlib.ExitStack() as stack:
            entrants = []
            for kind in kinds:
                entrants.append(kind())
                stack.callback(entrants[-1].close)
            yield entrants

    def traffic(self):
        plan_, paths = self.plan, self.plan.paths
        samples = {path: {measure: {kind.key: [] for kind in self.classes} for measure in MEASURES} for path in paths}
        with self.entrants(self.classes) as entrants:
            for entrant in entrants:
                entrant.prepare()
            for number in range(plan_.rounds):
                self.progress.milestone(f"round {number + 1} of {plan_.rounds}")
                # Another one begins each time: nobody always follows the same neighbour's leftovers.
                first = number % len(entrants)
                order = entrants[first:] + entrants[:first]
                for path, measure, entrant in ((p, m, e) for p in paths for m in MEASURES for e in order):
                    what = f"round {number + 1}, {PATHS[path]}, {MEASURES[measure].title}, {entrant.title}"
                    with self.attempt(what):
                        figure = MEASURES[measure].run(entrant.paths[path], plan_.durations)
                        samples[path][measure][entrant.key].append(figure)
        traffic = {path: {measure: {key: summary(values) for key, values in cells.items()}
                          for measure, cells in rows.items()} for path, rows in samples.items()}
        add_ratios(traffic)
        return traffic

    def setup(self):
        """On hosts of their own, because the first endpoint of a host is one of the steps."""
        kinds = self.with_commands()
        samples = {step: {kind.key: [] for kind in kinds} for step in STEPS}
        self.progress.milestone("commands")
        with self.entrants(kinds) as entrants:
            for entrant in entrants * self.plan.setups:
                with self.attempt(f"commands, {entrant.title}"):
                    for step, figure in setup_times(entrant).items():
                        samples[step][entrant.key].append(figure)
        return {step: {key: summary(values) for key, values in cells.items()} for step, cells in samples.items()}

    def programs(self):
        programs = {}
        # How they are attached makes no difference here: the clsact one is there on any kernel.
        kinds = [kind for kind in self.classes if kind.key == "clsact"]
        with self.attempt("BPF programs"), self.entrants(kinds) as entrants:
            entrants[0].prepare()
            for (name, family), samples in program_cost(entrants[0], self.plan.program_runs).items():
                programs.setdefault(name, {})[f"IPv{family}"] = summary(samples)
        return programs

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
