"""Gold as a function of Silver, on Delta Lake. This floor knows no Dagster."""
