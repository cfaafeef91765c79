"""What a project declares: its source, the tables that are made from it, and itself."""
