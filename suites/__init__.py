"""The suite files that come with the package: what is compared, one TOML file a suite."""
