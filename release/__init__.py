"""What would be published, built for real and tried as a stranger would: ``python -m release --help``."""
