"""The mechanics of pruning: coupled groups, scores to plans, masks, and physical removal of channels."""
