"""What a change of declarations or transformations does to the tables, before it is deployed: to their rows, and to their contract."""
