# SPDX-License-Identifier: GPL-2.0-only
"""The table on the terminal, and docs/nat-conformance.md."""
import os
import shutil
import textwrap
from collections import namedtuple

from clock import HURRY
from nats import CLOCK_UNIT, NATS, Linux, Nsbpf
from row_families import FAMILIES
from table import PARTS, ROWS, exception
from topology import TOP

DOCUMENT = os.path.join(TOP, "docs", "nat-conformance.md")

# passed: True, False, or None where it could not be measured; fact: what was.
Result = namedtuple("Result", "part kind family passed fact")
COLUMNS = [(kind, family) for kind in NATS for family in FAMILIES]


def cell(results, number, *column):
    """What one NAT makes of a row in one family, in a few words."""
    results = [result for result in results if [result.part.row, result.kind, result.family] == [number, *column]]
    if any(result.passed is None for result in results):
        return "not measured"
    passed = {result.fact: None for result in results if result.passed}
    excepted = {result.fact: None for result in results if not result.passed and is_excepted(result)}
    failed = {result.fact: None for result in results if not result.passed and not is_excepted(result)}
    if failed:
        return "fail: " + "; ".join(failed)
    return "pass: " + "; ".join(passed) + "".join(f"; except: {fact}" for fact in excepted)


def is_excepted(result):
    return result.kind is Nsbpf and exception(result.part, result.family)


def print_table(results):
    width = max(100, shutil.get_terminal_size((150, 24)).columns) - 4 - 3 * 2
    widths = [4, *[width // 3] * 3]
    print_row(("row", "requirement", *(kind.title for kind in NATS)), widths)
    for number, (_, requirement) in ROWS.items():
        print_row((str(number), requirement, *(both(results, number, kind) for kind in NATS)), widths)


def both(results, number, kind):
    """The cells of both families, in one if they are the same."""
    cells = {family.title: cell(results, number, kind, family) for family in FAMILIES}
    if len(set(cells.values())) == 1:
        return next(iter(cells.values()))
    return ". ".join(f"{title}: {text}" for title, text in cells.items())


def print_row(cells, widths):
    columns = [textwrap.wrap(text, width) or [""] for text, width in zip(cells, widths)]
    for line in range(max(map(len, columns))):
        print("  ".join((column[line] if line < len(column) else "").ljust(width)
                        for column, width in zip(columns, widths)).rstrip())


def print_summary(results):
    for column in COLUMNS:
        passed = [text for text in (cell(results, number, *column) for number in ROWS) if text.startswith("pass")]
        excepted = sum("; except: " in text for text in passed)
        print(f"{column[0].title} passes {len(passed)} of {len(ROWS)} rows in {column[1].title}"
              + (f", {excepted} with an exception" if excepted else ""))


def write_document(results):
    scaled = {part.row: part.options["hurry"] for part in PARTS if "hurry" in part.options}
    text = TEXT.format(
        kernel=".".join(os.uname().release.split(".")[:2]),
        columns=" | ".join(f"{kind.title}, {family.title}" for kind, family in COLUMNS),
        rows="\n".join(f"| {number} | {source} | {requirement} | "
                       + " | ".join(cell(results, number, *column) for column in COLUMNS) + " |"
                       for number, (source, requirement) in ROWS.items()),
        exceptions="\n".join(f"- Row {result.part.row}, {result.family.title}, {result.fact}:"
                             f" {exception(result.part, result.family)}."
                             for result in results if is_excepted(result)) or "None.",
        scaled=enumeration(scaled), units=HURRY, factor=factor(HURRY), linux=Linux.FACTOR,
        established=Linux.FACTOR_ESTABLISHED,
        others=", ".join(f"row {row} {factor(units)} times" for row, units in scaled.items() if units != HURRY))
    with open(DOCUMENT, "w", encoding="utf-8") as document:
        document.write(text)


def factor(units):
    return round(1 / (units * CLOCK_UNIT), 1)


def enumeration(rows):
    *most, last = map(str, sorted(rows))
    return f"{', '.join(most)} and {last}"


TEXT = """# NAT conformance

<!-- Written by `make conformance` (tests/conformance/report.py) from what it measured: do not edit. -->

What the RFCs ask of a NAT, and what nsbpf and Linux's own masquerade make of it: the same packets in the same topology.
RFC 4787, 5382 and 5508 speak of NATs, whatever they translate, and so all of it is asked of NAT66 as well.
Measured on Linux {kernel}, by `sudo make conformance`.

| # | RFC | requirement | {columns} |
| --- | --- | --- | --- | --- | --- | --- |
{rows}

## Exceptions

{exceptions}

## How it is measured

`sudo make conformance` runs all rows, prints this table and writes this file; `make test` has those of nsbpf's that do
not take long. Each function of tests/conformance/rows_*.py has a topology of its own, in which both families run at the
same time:

```
a 10.80.0.2, fd..::2 --+                                           +-- the router, 198.51.100.2, 2001:db8:1::2
                       |--- host --- up0 ============ wan0 --------|
b 10.80.0.3, fd..::3 --+    198.51.100.1, 2001:db8:1::1            +-- servers behind it, 203.0.113.x,
                            the NAT                                    2001:db8:cafe::x
```

- The endpoints and the outside are packet sockets on devices whose namespaces own no address, so no kernel but the
  host's answers, resets or reassembles anything (tests/conformance/machines.py).
- What arrives is compared with what was sent, every byte: only its ends may differ and its TTL or hop limit be one
  less, and all checksums are computed afresh. ICMP errors are compared down to the packet that they quote.
- A packet is known again by what a NAT has no business with: IPv4's identification, IPv6's flow label.
- That nothing arrives is known by a ping, sent behind the packet and answered by the host's own stack.
- Linux is a bridge, forwarding, and nftables with `masquerade` (in rows 3 and 22 `masquerade to :65532-65535`), `dnat`
  for an exposed port, and `masquerade` for hairpin, the same in a table `ip` and a table `ip6`:
  tests/conformance/nats.py. Its columns are no judgement on netfilter, which can do more than this recipe.

## How timers are scaled

Times in the table are those of the configuration. In rows {scaled} the clock runs faster:

- **nsbpf** counts its time-outs in units of 2^20 ns; `settings.second` says how many of them are a second, usually 954.
  With {units} all time-outs end {factor} times as soon ({others}).
- **Linux** has the sysctls nf_conntrack_tcp_timeout_*, nf_conntrack_udp_timeout* and nf_conntrack_icmp*_timeout of the
  host's namespace divided by {linux}, which leaves each default an integer of 1 or more; the 432000 s of an established
  TCP connection by {established}.

Everything else runs in real time, the 6 seconds of row 14 among it. Row 18 is measured both ways.

A flow that is probed "at 119 s" has been silent for 119 s at least, from after its last packet was sent to before the
probe was, and for less than half a second more, or the probe is repeated with a fresh flow. Each probe has its own.
"Gone" is probed two seconds past the configured time.
"""
