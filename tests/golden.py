# SPDX-License-Identifier: GPL-2.0-only
"""What commands print for people, compared with files in tests/golden.

Whatever differs from run to run is replaced first: `golden("list", text, {endpoint.mac: "MAC"})`. With
NSBPF_GOLDEN=write the files are written instead; read them before they are committed.
"""
import difflib
import os

DIRECTORY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden")


def golden(name, text, replacements=None):
    for this, that in sorted((replacements or {}).items(), key=lambda pair: -len(str(pair[0]))):
        text = text.replace(str(this), that)
    path = os.path.join(DIRECTORY, name + ".txt")
    if os.environ.get("NSBPF_GOLDEN") == "write":
        os.makedirs(DIRECTORY, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return
    with open(path, encoding="utf-8") as file:
        wanted = file.read()
    assert text == wanted, "".join(difflib.unified_diff(wanted.splitlines(True), text.splitlines(True), path, "got"))
