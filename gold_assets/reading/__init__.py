"""What readers get: the published state of the tables, from Python and by SQL."""
