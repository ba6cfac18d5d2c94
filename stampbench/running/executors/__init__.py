"""Where jobs run: one file per executor, named in `stampbench.registry.EXECUTORS`."""
