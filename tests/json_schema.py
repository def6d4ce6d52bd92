# SPDX-License-Identifier: GPL-2.0-only
"""What docs/json.md says of each command's JSON, and whether a value is as it says.

A section's table has keys by path: `a.b` is in the object `a`, `a[].b` in each object of the array `a`, `a.*.b` in each
member of `a`, whatever its name. An object or array of which the table has no parts may have any.
"""
import ipaddress
import json
import os
import re

PAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "docs", "json.md")


def is_address(value):
    try:
        return isinstance(value, str) and bool(ipaddress.ip_address(value))
    except ValueError:
        return False


def is_prefix(value):
    try:
        return isinstance(value, str) and "/" in value and bool(ipaddress.ip_network(value))
    except ValueError:
        return False


def is_integer(value):
    return isinstance(value, int) and not isinstance(value, bool)


TYPES = {
    "text": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": is_integer,
    "number": lambda value: is_integer(value) or isinstance(value, float),
    "*count*": lambda value: is_integer(value) and value >= 0,
    "*address*": is_address,
    "*prefix*": is_prefix,
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "null": lambda value: value is None,
}


def has_type(value, text):
    """Of a type as the table has it? "text", "array of *prefix*", "integer, boolean or null", "" (any)."""
    return not text or any(has_one_type(value, one) for one in re.split(r", | or ", text))


def has_one_type(value, text):
    if text == "arrays":
        text = "array"
    if text.startswith("array of "):
        item = text[len("array of "):]
        item = "object" if item == "objects" else item
        return isinstance(value, list) and all(has_one_type(part, item) for part in value)
    return TYPES[text](value)


def split_path(text):
    """("findings", "[]", "object") of "findings[].object"."""
    return tuple(part for part in re.split(r"\.|(\[\])", text) if part)


class Table:
    """One example, and the table of its keys."""

    def __init__(self, title, example, rows):
        self.title = title
        self.example = json.loads(example)
        self.types = {}
        for keys, kind in re.findall(r"^\| (`.*?) \| (.*?) ?\|", rows, re.MULTILINE):
            for key in re.findall(r"`([^`]+)`", keys):
                self.types[split_path(key)] = kind

    def problems(self, value):
        return self._of_object(value, ())

    def _of_object(self, value, path):
        if not isinstance(value, dict):
            return [f"{self.title}: {path}: no object"]
        known = {key[len(path)] for key in self.types if len(key) > len(path) and key[:len(path)] == path}
        if "*" in known:
            return [line for part in value.values() for line in self._of_part(part, (*path, "*"))]
        lines = [f"{self.title}: {'.'.join((*path, key))} is missing" for key in sorted(known) if key not in value]
        for key, part in value.items():
            if key in known:
                lines += self._of_part(part, (*path, key))
            elif known:
                lines.append(f"{self.title}: {'.'.join((*path, key))} is not in the table")
        return lines

    def _of_part(self, value, path):
        lines = []
        if not has_type(value, self.types.get(path, "")):
            lines.append(f"{self.title}: {'.'.join(path)} is no {self.types[path]}: {value!r}")
        deeper = {key[len(path)] for key in self.types if len(key) > len(path) and key[:len(path)] == path}
        if isinstance(value, dict) and deeper:
            lines += self._of_object(value, path)
        elif isinstance(value, list) and "[]" in deeper:
            for item in value:
                # of some arrays only a part of the items are objects
                if isinstance(item, dict):
                    lines += self._of_object(item, (*path, "[]"))
        return lines


class Section:
    """Of one command, or of some; an object is of one of its tables."""

    def __init__(self, title, text):
        self.title = title
        self.commands = re.findall(r"`nsbpf (-j[^`]*)`", title)
        self.tables = [Table(title, *match) for match in EXAMPLE_AND_TABLE.findall(text)]

    def problems(self, value):
        """Lines, one for each key that is missing, not in the table, or of another type. Of a listing: of its rows."""
        rows = value if isinstance(value, list) else [value]
        return [line for row in rows for line in min((table.problems(row) for table in self.tables), key=len)]

    def problems_of_examples(self):
        return [line for table in self.tables for line in self.problems(table.example)]


EXAMPLE_AND_TABLE = re.compile(r"```json\n(.*?)```.*?^\| key \| type.*?\n(.*?)(?:\n\n|\Z)", re.DOTALL | re.MULTILINE)


def read_sections():
    with open(PAGE, encoding="utf-8") as file:
        parts = re.split(r"^## ", file.read(), flags=re.MULTILINE)[1:]
    return [Section(*part.split("\n", 1)) for part in parts if re.search(r"^\| key \| type", part, re.MULTILINE)]
