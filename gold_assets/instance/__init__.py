"""Dagster's own parts, adapted: storages, slot claims, run launcher, check states. Nothing here knows Gold."""
