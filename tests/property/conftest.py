# SPDX-License-Identifier: GPL-2.0-only
import os
import sys

import pytest

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "packets"))
pytest.register_assert_rewrite("state")
