# SPDX-License-Identifier: GPL-2.0-only
"""Samples → median, least, most; and the ratios between them."""
import statistics


def summary(tree):
    """Each list of numbers in nested dicts becomes what is told of it; texts stay as they are."""
    if isinstance(tree, dict):
        return {key: summary(value) for key, value in tree.items()}
    if not tree:
        return {"samples": []}
    if isinstance(tree[0], str):
        return tree
    return {"median": statistics.median(tree), "min": min(tree), "max": max(tree), "samples": tree}


def ratio(cell, base):
    """Of the medians; None where one of them is missing."""
    if cell and base and base.get("median") and "median" in cell:
        return cell["median"] / base["median"]
    return None
