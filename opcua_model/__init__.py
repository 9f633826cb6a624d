"""The information model of a cell and the OPC UA server that publishes it."""
