"""What proves who somebody is: passwords and tokens. Knows no accounts."""
