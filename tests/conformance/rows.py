# SPDX-License-Identifier: GPL-2.0-only
"""All rows' functions."""
import rows_filtering  # noqa: F401
import rows_fragments  # noqa: F401
import rows_icmp  # noqa: F401
import rows_mapping  # noqa: F401
import rows_time  # noqa: F401
from table import PARTS

PARTS.sort(key=lambda part: part.row)
