"""Trained networks to take home: one job's network in a folder, in three formats, each checked."""
