"""Tables and figures as Markdown, LaTeX, CSV, SVG, PNG and one HTML page."""
