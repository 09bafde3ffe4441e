"""A Tardis-compatible vendor on loopback: deterministic data, scripted faults."""
