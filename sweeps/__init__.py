"""Hyperparameter sweeps: space, study, trial life cycle, workers, report. Imports no torch and no Lightning."""
