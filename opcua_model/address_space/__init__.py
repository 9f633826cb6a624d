"""Nodes as such: builder, identifiers, values. Knows neither cell nor MES."""
