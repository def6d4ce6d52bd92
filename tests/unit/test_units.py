# SPDX-License-Identifier: GPL-2.0-only
"""The programs of tests/unit, built with the sanitizers: each is one test here."""
import glob
import os
import re

import pytest
from topology import TOP, run

NAMES = sorted(os.path.basename(path)[:-2] for path in glob.glob(f"{TOP}/tests/unit/test_*.c"))


@pytest.mark.parametrize("name", NAMES)
def test_unit(name):
    done = run(f"{TOP}/build/asan/unit/{name}", check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    if not re.search(r"\[ +OK \]", done.stdout):
        pytest.skip("all that is in it was skipped")
