"""Losses for binary classification under class imbalance; one strategy a file."""
