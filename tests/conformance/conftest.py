# SPDX-License-Identifier: GPL-2.0-only
"""Where bpf.py and rig.py are."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "packets"))
