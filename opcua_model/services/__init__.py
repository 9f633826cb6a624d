"""OPC UA services: what mends asyncua, and the only place that touches its private names."""
