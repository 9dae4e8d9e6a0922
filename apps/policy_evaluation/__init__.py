"""`nines evaluate policy=…`: two policies on the same prompts, judged, compared, and reported."""
