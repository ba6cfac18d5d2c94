"""Executors decide where jobs run. Each is one file here and one line in `stampbench.registry.EXECUTORS`."""
