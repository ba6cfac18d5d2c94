"""The networks that are pruned, one file for each family."""
