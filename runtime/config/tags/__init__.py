"""From devices, addresses and tags to their part of the plan."""
