"""Experiments on labels: which to buy, and what several classifiers are worth, on features of a frozen encoder."""
