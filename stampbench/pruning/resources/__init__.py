"""The resources that budgets limit: one file per resource, found through `stampbench.registry`."""
