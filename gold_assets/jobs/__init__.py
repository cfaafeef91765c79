"""Jobs of one op each: maintenance, plan, explanation."""
