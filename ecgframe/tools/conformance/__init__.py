"""A suite that tests any server or client of this protocol: each rule of docs/protocol.md a numbered case."""
