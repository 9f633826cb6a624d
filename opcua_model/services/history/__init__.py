"""HistoryRead: raw values, values at moments, aggregates."""
