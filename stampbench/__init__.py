"""stampbench: which pruning method is most accurate, smallest, truly fastest, and quickest to get?"""

__version__ = "0.1.0"
