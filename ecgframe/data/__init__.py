"""Data that ships with the package; ``README.md`` here says whose it is."""
