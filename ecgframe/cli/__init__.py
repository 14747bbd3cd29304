"""The command line. Each command parses, calls one thing and prints; what it calls stands in the modules beside it."""
