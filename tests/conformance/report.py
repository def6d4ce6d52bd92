# SPDX-License-Identifier: GPL-2.0-only
"""The table on the terminal, and docs/nat-conformance.md."""
import os
import shutil
import textwrap
from collections import namedtuple

from clock import HURRY
from nats import CLOCK_UNIT, NATS, Linux, Nsbpf
from table import EXCEPTIONS, PARTS, ROWS
from topology import TOP

DOCUMENT = os.path.join(TOP, "docs", "nat-conformance.md")

# passed: True, False, or None where it could not be measured; fact: what was.
Result = namedtuple("Result", "part kind passed fact")


def cell(results, number, kind):
    """What one NAT makes of a row, in a few words."""
    results = [result for result in results if result.part.row == number and result.kind is kind]
    if any(result.passed is None for result in results):
        return "not measured"
    passed = {result.fact: None for result in results if result.passed}
    excepted = {result.fact: None for result in results if not result.passed and is_excepted(result)}
    failed = {result.fact: None for result in results if not result.passed and not is_excepted(result)}
    if failed:
        return "fail: " + "; ".join(failed)
    return "pass: " + "; ".join(passed) + "".join(f"; except: {fact}" for fact in excepted)


def is_excepted(result):
    return result.kind is Nsbpf and result.part.function.__name__ in EXCEPTIONS


def print_table(results):
    width = max(100, shutil.get_terminal_size((150, 24)).columns) - 4 - 3 * 2
    widths = [4, *[width // 3] * 3]
    print_row(("row", "requirement", *(kind.title for kind in NATS)), widths)
    for number, (_, requirement) in ROWS.items():
        print_row((str(number), requirement, *(cell(results, number, kind) for kind in NATS)), widths)


def print_row(cells, widths):
    columns = [textwrap.wrap(text, width) or [""] for text, width in zip(cells, widths)]
    for line in range(max(map(len, columns))):
        print("  ".join((column[line] if line < len(column) else "").ljust(width)
                        for column, width in zip(columns, widths)).rstrip())


def print_summary(results):
    for kind in NATS:
        passed = sum(cell(results, number, kind).startswith("pass") for number in ROWS)
        print(f"{kind.title} passes {passed} of {len(ROWS)} rows")


def write_document(results):
    scaled = {part.row: part.options["hurry"] for part in PARTS if "hurry" in part.options}
    text = TEXT.format(
        kernel=".".join(os.uname().release.split(".")[:2]),
        rows="\n".join(f"| {number} | {source} | {requirement} | {cell(results, number, Nsbpf)} |"
                       f" {cell(results, number, Linux)} |" for number, (source, requirement) in ROWS.items()),
        exceptions="\n".join(f"- Row {result.part.row}, {result.fact}: {EXCEPTIONS[result.part.function.__name__]}."
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
Measured on Linux {kernel}, by `sudo make conformance`.

| # | RFC | requirement | nsbpf | Linux |
| --- | --- | --- | --- | --- |
{rows}

## Exceptions

{exceptions}

## How it is measured

`sudo make conformance` runs all rows, prints this table and writes this file; `make test` has those of nsbpf's that do
not take long. Each function of tests/conformance/rows_*.py has a topology of its own:

```
a 10.80.0.2 --+                                           +-- the router, 198.51.100.2
              |--- host --- up0 ============ wan0 --------|
b 10.80.0.3 --+    198.51.100.1                           +-- servers behind it, 203.0.113.x
                   the NAT
```

- The endpoints and the outside are packet sockets on devices whose namespaces own no address, so no kernel but the
  host's answers, resets or reassembles anything (tests/conformance/machines.py).
- What arrives is compared with what was sent, every byte: only its ends may differ and its TTL be one less, and all
  checksums are computed afresh. ICMP errors are compared down to the packet that they quote.
- That nothing arrives is known by a ping, sent behind the packet and answered by the host's own stack.
- Linux is a bridge, `ip_forward`, and nftables with `masquerade` (in rows 3 and 22 `masquerade to :65532-65535`),
  `dnat` for an exposed port, and `masquerade` for hairpin: tests/conformance/nats.py. Its column is no judgement on
  netfilter, which can do more than this recipe.

## How timers are scaled

Times in the table are those of the configuration. In rows {scaled} the clock runs faster:

- **nsbpf** counts its time-outs in units of 2^20 ns; `settings.second` says how many of them are a second, usually 954.
  With {units} all time-outs end {factor} times as soon ({others}).
- **Linux** has the sysctls nf_conntrack_tcp_timeout_*, nf_conntrack_udp_timeout* and nf_conntrack_icmp_timeout of the
  host's namespace divided by {linux}, which leaves each default an integer of 1 or more; the 432000 s of an established
  TCP connection by {established}.

Everything else runs in real time, the 6 seconds of row 14 among it. Row 18 is measured both ways.

A flow that is probed "at 119 s" has been silent for 119 s at least, from after its last packet was sent to before the
probe was, and for less than half a second more, or the probe is repeated with a fresh flow. Each probe has its own.
"Gone" is probed two seconds past the configured time.
"""
