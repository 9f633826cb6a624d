"""Subscriptions: what a client monitors, when it is sampled, and how it is told."""
