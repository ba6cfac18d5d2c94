"""The packages of the wheel: `methods/` and `suites/`, which lie beside `stampbench/`, are installed inside it."""

from setuptools import find_packages, setup

INSIDE = ("methods", "suites")

setup(
    packages=[
        *find_packages(include=["stampbench", "stampbench.*"]),
        *(f"stampbench.{name}" for top in INSIDE for name in find_packages(include=[top, f"{top}.*"])),
    ],
    package_dir={f"stampbench.{top}": top for top in INSIDE},
)
