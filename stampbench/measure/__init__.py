"""Measurements: phases of wall-clock time, cost in parameters and MACs, memory, speed, and provenance."""
