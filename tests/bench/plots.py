# SPDX-License-Identifier: GPL-2.0-only
"""Plots of a run, as SVG by gnuplot: contestants by path, much of something, the programs. Bars are medians, and the
lines on them reach from the least to the most.

    tests/bench/run plots RESULTS.json    into the directory of that file
"""
import json
import os
import sys
from collections import namedtuple

from contestant import PATHS
from measures import MEASURES
from processes import run
from program_cost import PROGRAMS
from tables import SCALE

COLOURS = {"bare": "#999999", "bridge": "#e69f00", "nft": "#d55e00", "cni": "#cc79a7", "tcx": "#0072b2",
           "clsact": "#56b4e9", "redirect": "#444444", "IPv4": "#0072b2", "IPv6": "#56b4e9"}
GAP = ["NaN"] * 3  # for what was not measured
WIDTH, HEIGHT = 1200, 420  # of a panel
STYLE = """set encoding utf8
set datafile separator "\\t"
set style data histogram
set style histogram errorbars gap 1.5 lw 1
set style fill solid 0.9 noborder
set grid ytics lc rgb "#dddddd"
set border 3 lc rgb "#888888"
set tics nomirror scale 0.3
set errorbars lc rgb "#222222"
set key outside right top
set xtics rotate by -12
set yrange [0:*]"""

# One picture of bars: `groups` is a label and, for each of `series` (key → title), median, least and most.
Panel = namedtuple("Panel", "title unit series groups")


def draw(panels, path):
    lines = [f'set terminal svg size {WIDTH},{HEIGHT * len(panels)} font "sans-serif,12" background "white"',
             f'set output "{path}"', STYLE, f"set multiplot layout {len(panels)},1"]
    for number, panel in enumerate(panels):
        data = f"$panel{number}"
        lines.append(f"{data} << END")
        lines += ["\t".join([label, *(str(value) for bar in bars for value in bar)]) for label, bars in panel.groups]
        lines += ["END", f"set title '{panel.title}'", f"set ylabel '{panel.unit}'"]
        bars = (f"{data} using {2 + 3 * n}:{3 + 3 * n}:{4 + 3 * n}:xtic(1) title '{title}' lc rgb '{COLOURS[key]}'"
                for n, (key, title) in enumerate(panel.series.items())
                if any(bars[n] != GAP for _, bars in panel.groups))  # gnuplot refuses a row of gaps
        lines.append("plot " + ", ".join(bars))
    run("gnuplot", input="\n".join(lines) + "\n")


def bar(cell, base):
    """As a ratio to `base`, where that is not 1."""
    if not cell or not base or "median" not in cell:
        return GAP
    return [cell[what] / base for what in ("median", "min", "max")]


def traffic(results):
    """Each path's rates, as ratios to the bare wire's median."""
    for path, measures in results["traffic"].items():
        groups = []
        for key, figures in measures.items():
            rates = figures["rate"]
            base = rates.get("bare", {}).get("median")
            groups.append((MEASURES[key].title, [bar(rates.get(k), base) for k in results["contestants"]]))
        yield Panel(PATHS[path], "ratio to the bare wire", results["contestants"], groups)


def scale(results):
    """Connections a second by how much there is."""
    for part, title in SCALE.items():
        amounts = results["scale"][part]
        there = next(iter(amounts.values()))["connections"]["rate"]
        series = {key: name for key, name in results["contestants"].items() if key in there}
        groups = [(f"{int(amount):,}", [bar(measures["connections"]["rate"].get(key), 1) for key in series])
                  for amount, measures in amounts.items()]
        what = MEASURES["connections"]
        yield Panel(f"{what.title}, by {title}", what.figures["rate"].unit, series, groups)


def programs(results):
    families = next(iter(results["programs"].values()))
    groups = [(PROGRAMS[name], [bar(cells.get(family), 1) for family in families])
              for name, cells in results["programs"].items()]
    yield Panel("BPF programs, one packet", "ns", {family: family for family in families}, groups)


PLOTS = {"traffic": traffic, "scale": scale, "programs": programs}


def plots(results, directory):
    """The paths of what there is to show."""
    paths = []
    for part, panels in PLOTS.items():
        if results.get(part):
            paths.append(os.path.join(directory, f"{part}.svg"))
            draw(list(panels(results)), paths[-1])
    return paths


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: tests/bench/run plots RESULTS.json")
    with open(sys.argv[1], encoding="utf-8") as file:
        print("\n".join(plots(json.load(file), os.path.dirname(sys.argv[1]) or ".")))
