"""Who may do what: users, roles, certificates."""
