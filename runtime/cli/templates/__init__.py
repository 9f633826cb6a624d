"""What ``cellwright init`` writes: a small cell that runs in itself. Nothing imports it."""
