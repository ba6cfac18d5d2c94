"""The running of jobs: one job becomes a record, and a campaign runs many jobs."""
