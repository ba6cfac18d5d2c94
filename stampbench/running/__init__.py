"""From a job to its record, and the campaigns that run many."""
