"""What the shell runs: the command ``gold``, a module for each of its sub-commands."""
