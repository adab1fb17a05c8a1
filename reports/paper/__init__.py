"""What goes into a paper: tables as LaTeX, Markdown and CSV, figures as PDF and SVG, published numbers beside ours."""
