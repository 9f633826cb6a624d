"""What proves who somebody is: passwords, one-time codes, tokens. Knows no accounts."""
