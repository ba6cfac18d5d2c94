"""What a budget is a share of: one file per resource, found through `stampbench.registry`."""
