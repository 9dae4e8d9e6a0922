"""Comparisons with peers: each module is a command that prints ratios measured in one run. Not part of the wheel."""
