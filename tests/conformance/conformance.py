# SPDX-License-Identifier: GPL-2.0-only
"""Runs every row on both NATs and in both families, several at a time, prints the table and writes
docs/nat-conformance.md.

Ends with 0 if nsbpf passes every row, but for table.EXCEPTIONS, and Linux could be measured.
"""
import concurrent.futures
import multiprocessing
import sys
import time

import scene
from nats import NATS, Nsbpf
from report import Result, print_summary, print_table, write_document
from rows import PARTS
from table import exception

# Most of a row is waiting, so there are more of them at a time than processors.
WORKERS = 6


def measure(index, kind):
    return scene.measure(PARTS[index], kind)


def measure_all():
    """The Results, in the order of the rows. Those that take long begin first."""
    jobs = [(index, kind) for index in range(len(PARTS)) for kind in NATS]
    done, begun = {}, time.monotonic()
    # Not forked: each worker has to make up names of its own for its namespaces.
    with concurrent.futures.ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(measure, *job): job for job in sorted(jobs, key=lambda job: not PARTS[job[0]].slow)}
        for future in concurrent.futures.as_completed(futures):
            done[futures[future]] = future.result()
            progress(f"{len(done)} of {len(jobs)} measured, {time.monotonic() - begun:.0f} s")
    progress("")
    return [Result(PARTS[index], kind, family, *outcome) for index, kind in jobs
            for family, outcome in done[index, kind].items()]


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def problem(result):
    """What keeps this from being a success, or None."""
    if result.passed is None:
        return f"could not be measured:\n{result.fact}"
    if result.kind is Nsbpf and result.passed == bool(exception(result.part, result.family)):
        return "passes, and is no exception any more" if result.passed else result.fact
    return None


def main():
    results = measure_all()
    print_table(results)
    print_summary(results)
    write_document(results)
    failed = False
    for result in filter(problem, results):
        failed = True
        print(f"row {result.part.row}, {result.kind.title}, {result.family.title}, {result.part.function.__name__}:"
              f" {problem(result)}", file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main())
