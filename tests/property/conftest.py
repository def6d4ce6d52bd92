# SPDX-License-Identifier: GPL-2.0-only
import os
import sys

import pytest

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "packets"))
if "state" not in sys.modules:  # by a test of packets/ in the same process
    pytest.register_assert_rewrite("state")
