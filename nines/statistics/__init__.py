"""Thresholds, error rates with intervals, ranking metrics: numpy and scipy only."""
