"""Gold tables kept true to a Silver table on Delta Lake, by Dagster."""
