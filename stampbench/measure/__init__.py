"""What is measured: phases of wall-clock time, cost in parameters and MACs, speed, and provenance."""
