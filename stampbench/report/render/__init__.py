"""Renderers of tables and figures: Markdown, LaTeX, CSV, SVG, PNG and one HTML page."""
