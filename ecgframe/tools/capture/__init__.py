"""Reading and writing network captures: pcap, pcapng, and the exported PDUs of Wireshark."""
