"""What readers get: the published state of the tables, from Python, by SQL and as a report."""
