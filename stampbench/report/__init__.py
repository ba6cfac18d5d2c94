"""From records to reports: records become frames, frames and claims the data of a section, data tables and figures.

Nothing here needs torch, and no method is known by name.
"""
