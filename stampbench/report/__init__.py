"""Reports from records: records become frames, frames become the data of a section, and data becomes tables.

Nothing here needs torch, and no method is known by name.
"""
