# SPDX-License-Identifier: GPL-2.0-only
"""What much of something costs: exposed ports, connections in the table, new connections until ports run out."""
import exposed_ports
import full_table
import new_connections

PARTS = {"exposed": exposed_ports, "connections": full_table, "new": new_connections}


def steps(bench):
    return sum(part.steps(bench) for part in PARTS.values())


def scale(bench):
    return {name: part.run(bench) for name, part in PARTS.items()}
