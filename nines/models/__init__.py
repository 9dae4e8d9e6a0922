"""Encoders with heads, where their weights come from, and the cache of frozen layers' outputs."""
