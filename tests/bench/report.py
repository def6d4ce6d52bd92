# SPDX-License-Identifier: GPL-2.0-only
"""Results in words: on the terminal, and as Markdown.

    tests/bench/run report RESULTS.json    the tables of a run, as docs/performance.md has them
"""
import json
import sys

from machine import describe
from tables import tables

LABEL, UNIT, CELL = 36, 8, 18
LEGEND = ("median (lowest–highest); below it the ratios to the bare wire and to bridge and iptables, or to the least "
          "amount where there is more and more of something, each the median of the rounds' own")


def figure_text(value):
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def cell_text(cell):
    """Two of them: the figure, and its ratios."""
    if cell.figure is None:
        return "", ""
    if "median" not in cell.figure:
        return "–", ""
    low, median, high = (figure_text(cell.figure[key]) for key in ("min", "median", "max"))
    text = median if low == high else f"{median} ({low}–{high})"
    return text, " ".join(f"{ratio:.2f}" for ratio in cell.ratios if ratio is not None)


def print_tables(results):
    print(f"\n{LEGEND}")
    for table in tables(results):
        print(f"\n{table.title:<{LABEL + UNIT}}" + "".join(f"{column:>{CELL}}" for column in table.columns))
        for row in table.rows:
            lines = list(zip(*map(cell_text, row.cells)))
            print(f"{row.title:<{LABEL}}{row.unit:<{UNIT}}" + "".join(f"{text:>{CELL}}" for text in lines[0]))
            if any(lines[1]):
                print(" " * (LABEL + UNIT) + "".join(f"{text:>{CELL}}" for text in lines[1]))
    for remark in remarks(results):
        print(remark)


def remarks(results):
    return results.get("setup", {}).get("remarks", [])


def print_markdown(results):
    print(f"{describe(results['machine'])}.\n{LEGEND.capitalize()}.")
    for table in tables(results):
        print(f"\n### {table.title}\n\n| | | {' | '.join(table.columns)} |\n|{' --- |' * (2 + len(table.columns))}")
        for row in table.rows:
            cells = ["<br>".join(filter(None, cell_text(cell))) for cell in row.cells]
            print(f"| {row.title.strip()} | {row.unit} | {' | '.join(cells)} |")
    for remark in remarks(results):
        print(f"\n{remark}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: tests/bench/run report RESULTS.json")
    with open(sys.argv[1], encoding="utf-8") as file:
        print_markdown(json.load(file))
