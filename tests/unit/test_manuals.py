# SPDX-License-Identifier: GPL-2.0-only
"""The manual pages: groff has nothing to say, and verbs and options are those of `nsbpf help`."""
import os
import re

import pytest
from processes import run
from topology import NSBPF, TOP

PAGES = sorted(name[:-2] for name in os.listdir(f"{TOP}/docs") if name.endswith(".8"))
OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z0-9-]*")
# Each command takes these; and what examples give to other programs.
EVERYWHERE = {"-j", "--json"}


def groff(page, *options):
    return run("groff", "-man", *options, f"{TOP}/docs/{page}.8")


def text_of(page):
    """Its sections by title, without hyphenation and without lines broken."""
    text = groff(page, "-Tascii", "-P-cbou", "-rHY=0", "-rLL=1000n").stdout
    parts = re.split(r"^([A-Z][A-Z ]+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def verbs_in(synopsis):
    return set(re.findall(r"^ +nsbpf ([a-z]+)", synopsis, re.MULTILINE))


def usage(verb):
    """Without its examples, which call other programs as well."""
    return run(NSBPF, "help", verb).stdout.split("\n\n")[0]


@pytest.fixture(scope="module")
def verbs():
    return re.findall(r"^  ([a-z]+) ", run(NSBPF, "help").stdout, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_groff_has_nothing_to_say(page):
    assert groff(page, "-ww", "-z", "-Tutf8").stderr == ""


@pytest.mark.parametrize("page", PAGES)
def test_head(page):
    with open(f"{TOP}/docs/{page}.8", encoding="utf-8") as file:
        head = file.read().replace("\\-", "-")
    version = run(NSBPF, "version").stdout.strip()
    assert re.search(rf'^\.TH {page.upper()} 8 \S+ "{version}"', head, re.MULTILINE)
    assert re.search(rf"^\.SH NAME\n{page} - .", head, re.MULTILINE)


def test_each_verb_has_one_page(verbs):
    pages = {page: verbs_in(text_of(page)["SYNOPSIS"]) for page in PAGES}
    assert sorted(verb for found in pages.values() for verb in found) == sorted(verbs)
    # ... which the first page tells.
    commands = text_of("nsbpf")["COMMANDS"]
    for page, found in pages.items():
        entry = re.search(rf"^ +{page}\(8\)\n(.*?):", commands, re.MULTILINE | re.DOTALL)
        assert page == "nsbpf" or set(re.findall(r"[a-z]+", entry.group(1))) == found, page


@pytest.mark.parametrize("page", [page for page in PAGES if page != "nsbpf"])
def test_options_are_those_of_help(page):
    sections = text_of(page)
    found = verbs_in(sections["SYNOPSIS"])
    wanted = {option for verb in found for option in OPTION.findall(usage(verb))}
    told = set(OPTION.findall("".join(text for title, text in sections.items() if title != "EXAMPLES")))
    assert told - EVERYWHERE == wanted


def test_each_setting_is_told(verbs):
    told = text_of("nsbpf-settings")["DESCRIPTION"]
    names = re.findall(r"^  ([a-z][a-z.-]+)  ", run(NSBPF, "help", "set").stdout, re.MULTILINE)
    assert "connections" in names
    for name in names:
        assert re.search(rf"^ +{re.escape(name)}  ", told, re.MULTILINE), name
