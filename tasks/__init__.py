"""What runs in the scan, or in a worker process for it. No sockets of its own, no databases."""
