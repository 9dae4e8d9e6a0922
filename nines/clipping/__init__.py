"""Gradient clipping strategies; one a file."""
