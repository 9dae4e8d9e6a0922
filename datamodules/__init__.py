"""Data on disk to batches: schemas, readers, splits, mixtures and loaders."""
