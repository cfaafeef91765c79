"""The sensor that turns new commits of Silver into runs over the dates that they touch."""
