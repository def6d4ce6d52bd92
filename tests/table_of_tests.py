# SPDX-License-Identifier: GPL-2.0-only
"""docs/tests.md: which tests run with IPv4, with IPv6, with both. From what pytest collects.

    tests/table_of_tests.py            writes it
    tests/table_of_tests.py --check    says whether it is up to date

A test's families are those of its ids (ip4, ip6), or the arguments of its mark `families`; else those whose addresses
its own lines name, or its helpers' in the same file.
"""
import contextlib
import inspect
import io
import os
import re
import sys

import pytest

TESTS = os.path.dirname(os.path.abspath(__file__))
PAGE = os.path.join(TESTS, "..", "docs", "tests.md")

HEAD = """\
# Tests and address families

How many test functions of each file run with IPv4 and with IPv6 (both), with one of them, or are about no address at
all (neither). `tests/table_of_tests.py` makes this page of what pytest collects; `tests/unit/test_docs.py` compares.

A test that takes the fixture `family` is written once and runs twice, with the ids `ip4` and `ip6`. One marked
`families("both")` has both in the same run; what only one family has (ARP, IP options, neighbour discovery, extension
headers) is marked with that one. A test with neither is counted by the addresses that its lines name. The C tests of
`unit/` are one function here; those of addresses, netlink and sockets go through tables with both families.

"""
IDS = {"ip4": {4}, "ip6": {6}, "ip4+ip6": {4, 6}}
NAMES = {
    4: re.compile(r"\b\d+\.\d+\.\d+\.\d+|\b(HOST_ADDRESS|OUTSIDE_ADDRESS|OUTSIDE_FAR|SECOND_ADDRESS|IP|ICMP|ARP|FAMILIES)\b"
                  r"|\.address\b"),
    6: re.compile(r"\b(2001:db8|f[cde][0-9a-f]{2}|ff0[0-9a-f]):|::1\b|[\"\[]::[\"\]]|\bIPv6|\bICMPv6|\.address6\b"
                  r"|\b(HOST_ADDRESS6|OUTSIDE_ADDRESS6|OUTSIDE_FAR6|OUTSIDE_LINK_LOCAL|FAMILIES)\b"),
}
COLUMNS = {"both": {4, 6}, "IPv4": {4}, "IPv6": {6}, "neither": set()}


class Collected:
    """What pytest has found: file → test function → its families."""

    def __init__(self):
        self.files = {}

    def pytest_collection_modifyitems(self, items):
        for item in items:
            file, _, function = item.nodeid.partition("[")[0].partition("::")
            self.files.setdefault(file, {}).setdefault(function, set()).update(self.families(item))

    @staticmethod
    def families(item):
        callspec, mark = getattr(item, "callspec", None), item.get_closest_marker("families")
        for part in callspec.id.split("-") if callspec else ():
            if part in IDS:
                return IDS[part]
        if mark:
            return {4, 6} if "both" in mark.args else set(mark.args)
        source = inspect.getsource(item.function) + "".join(helpers(item.function))
        return {number for number, names in NAMES.items() if names.search(source)}


def helpers(function):
    """The sources of the functions of its own file that it calls."""
    called = (function.__globals__.get(name) for name in function.__code__.co_names)
    return [inspect.getsource(one) for one in called
            if inspect.isfunction(one) and one.__module__ == function.__module__]


def collect():
    collected = Collected()
    sys.dont_write_bytecode = True
    os.chdir(TESTS)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = pytest.main(["--collect-only", "-qq"], plugins=[collected])
    if code:
        sys.exit(f"{said.getvalue()}pytest cannot collect the tests")
    return collected.files


def count(functions, families):
    return sum(found == families for found in functions.values())


def row(title, cells):
    return f"| {title} | " + " | ".join(str(cell or "") for cell in cells) + " |\n"


def page(files):
    text = HEAD + row("file", COLUMNS) + "| --- |" + " ---: |" * len(COLUMNS) + "\n"
    for file, functions in sorted(files.items()):
        text += row(f"`{file}`", [count(functions, families) for families in COLUMNS.values()])
    text += row("all", [sum(count(functions, families) for functions in files.values()) for families in COLUMNS.values()])
    for title, families in (("IPv4", {4}), ("IPv6", {6})):
        text += f"\n## {title} only\n\n"
        for file, functions in sorted(files.items()):
            text += "".join(f"- `{file}::{function}`\n" for function, found in functions.items() if found == families)
    return text


def main(arguments):
    text = page(collect())
    if arguments == ["--check"]:
        with open(PAGE, encoding="utf-8") as file:
            if file.read() != text:
                sys.exit("docs/tests.md is not what tests/table_of_tests.py makes of the tests")
        return
    if arguments:
        sys.exit(__doc__)
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    main(sys.argv[1:])
