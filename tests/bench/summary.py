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
    """The median of the rounds' ratios, as what disturbs a round disturbs both; None where one of them is missing."""
    if not cell or not base or "median" not in cell or not base.get("median"):
        return None
    if len(cell["samples"]) != len(base["samples"]):
        return cell["median"] / base["median"]
    return statistics.median(a / b for a, b in zip(cell["samples"], base["samples"]))
