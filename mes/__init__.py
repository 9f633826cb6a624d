"""Manufacturing execution: work orders, serials, marks, inspection, audit, and their store."""
