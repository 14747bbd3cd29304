"""Bridges between servers of this protocol and other systems for live signals."""
