"""The pruning methods under comparison. Each has one file or folder, with its algorithm and its card."""
