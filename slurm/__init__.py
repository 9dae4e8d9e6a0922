"""Batch jobs: the script from typed options, the queue behind one command runner, the batch step of a job."""
