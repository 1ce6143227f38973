"""From the socket to RAW: receive, journal, arbitrate, sequence, partition, publish."""
