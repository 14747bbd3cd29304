"""Builds and tests the files of a release: ``python -m release --help``."""
