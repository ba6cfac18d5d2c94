"""`python -m stampbench`."""

from stampbench.cli import main

main()
