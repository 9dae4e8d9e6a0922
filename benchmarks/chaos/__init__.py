"""A sweep on SLURM under attack: does it lose, double or change anything? See `benchmarks.chaos.__main__`."""
