"""Policies turn prompts into completions: base, filtered by a classifier, best of n; and the sampler they share."""
