"""From records to tables. Reads records and nothing else, and needs no torch."""
