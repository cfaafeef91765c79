"""What is checked, by subject, and the second opinion in SQL that the checks go by."""
