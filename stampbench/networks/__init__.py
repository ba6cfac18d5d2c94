"""Networks that are pruned: what a network is, how it is built and initialised, and one file for each family."""
