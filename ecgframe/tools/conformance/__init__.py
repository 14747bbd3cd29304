"""A conformance suite for servers and clients. Each rule of docs/protocol.md is a numbered case."""
