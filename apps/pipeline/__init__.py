"""The pipeline of `nines demo`: from labels to a distilled policy, stage by stage, and what it came to."""
