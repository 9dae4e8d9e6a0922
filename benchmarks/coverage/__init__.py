"""Simulations that show the coverage, bias and width of the intervals of nines.statistics, regime by regime."""
