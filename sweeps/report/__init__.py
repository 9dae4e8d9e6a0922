"""The report of a sweep: one HTML file and one CSV file."""
