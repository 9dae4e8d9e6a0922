"""PPO of nines against the PPOTrainer of TRL 1.12, its last release with one; see `__main__`."""
