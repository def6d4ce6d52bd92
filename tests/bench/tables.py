# SPDX-License-Identifier: GPL-2.0-only
"""Results as tables: what is beside what, and each figure's ratios. How they look is report.py's business."""
from collections import namedtuple

import memory
import new_connections
import scale_setup
from contestant import PATHS
from measures import MEASURES
from program_cost import PROGRAMS
from setup_times import STEPS
from summary import ratio

Table = namedtuple("Table", "title columns rows")
Row = namedtuple("Row", "title unit cells")
Cell = namedtuple("Cell", "figure ratios")  # figure: as summary() has it

SCALE = {"exposed": "exposed ports", "connections": "connections in the table (masquerade)"}


def tables(results):
    yield from traffic(results)
    yield from much(results)
    yield from setup(results)
    yield from programs(results)


def _columns(results, keys):
    """Titles and keys of those contestants that are in one of the rows."""
    return {key: title for key, title in results["contestants"].items() if key in keys}


def _row(title, unit, cells, columns, bases):
    """Ratios to each of `bases` that is there."""
    return Row(title, unit, [Cell(cells.get(key), [ratio(cells.get(key), cells.get(base)) for base in bases])
                             for key in columns])


def traffic(results):
    for path, measures in results.get("traffic", {}).items():
        columns = _columns(results, next(iter(measures.values()))["rate"])
        yield Table(PATHS[path], list(columns.values()), [
            _row(what.title, what.unit, figures[name], columns, ("bare", "bridge"))
            for key, figures in measures.items() for name, what in MEASURES[key].figures.items()])


def much(results):
    parts = results.get("scale", {})
    for part, title in SCALE.items():
        if part in parts:
            yield _amounts(results, title, parts[part])
    if "new" in parts:
        columns = _columns(results, parts["new"]["rate"])
        yield Table("2 clients, until NAT ports run out", list(columns.values()), [
            _row(what.title, what.unit, parts["new"][name], columns, ("bridge",))
            for name, what in new_connections.FIGURES.items()])


def _amounts(results, title, amounts):
    """A row for each amount, and ratios to the same contestant's least. Latencies are in the JSON file."""
    least = next(iter(amounts))
    columns = _columns(results, next(iter(amounts[least].values()))["rate"])
    rows = []
    for key, figures in amounts[least].items():
        for amount, measures in amounts.items():
            cells, base = measures[key]["rate"], figures["rate"] if amount != least else {}
            rows.append(Row(f"{MEASURES[key].title}, {int(amount):,}", MEASURES[key].figures["rate"].unit,
                            [Cell(cells.get(k), [ratio(cells.get(k), base.get(k))]) for k in columns]))
    return Table(title, list(columns.values()), rows)


def setup(results):
    parts = results.get("setup", {})
    for part, title, steps in (("commands", "commands", {step: (name, "ms") for step, name in STEPS.items()}),
                               ("much", "commands with much", scale_setup.STEPS),
                               ("memory", "memory", memory.STEPS)):
        if part in parts:
            columns = _columns(results, next(iter(parts[part].values())))
            bases = ("bridge",) if "bridge" in columns else ()
            yield Table(title, list(columns.values()),
                        [_row(*steps[step], cells, columns, bases) for step, cells in parts[part].items()])


def programs(results):
    if results.get("programs"):
        columns = {family: family for family in results["programs"]["empty"]}
        yield Table("BPF programs, one packet", list(columns),
                    [_row(PROGRAMS[name], "ns", cells, columns, ()) for name, cells in results["programs"].items()])
