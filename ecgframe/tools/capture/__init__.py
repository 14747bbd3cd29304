"""Captures: what is on the wire, taken from pcap files and from Wireshark."""
