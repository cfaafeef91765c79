"""The assets: Silver, the tables made from it, and their checks."""
