"""Silver: the contract, one version of it, and what has changed."""
