"""``cellwright ua``: a client for commissioning, for the cell's OPC UA server and any other."""
