# SPDX-License-Identifier: GPL-2.0-only
"""Pages of docs/ that are made by programs are as the programs make them."""
from processes import PYTHON, run
from topology import TOP


def test_table_of_tests():
    run(PYTHON, f"{TOP}/tests/table_of_tests.py", "--check")
