"""The pruning methods under comparison: one file or folder each, the algorithm and its card, nothing else."""
