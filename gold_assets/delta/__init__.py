"""What any Delta table is to us: its log, its storage, SQL over it, dates, errors, commit races."""
