"""Adapters that pass the connections of a WebSocket library to a handler: one module for each library."""
