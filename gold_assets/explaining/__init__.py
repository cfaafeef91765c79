"""What a number of a table was made from, when it changed and by whose doing: told by the logs and files of Silver and Gold."""
