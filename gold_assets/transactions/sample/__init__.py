"""The demo's Silver, built from real transactions."""
