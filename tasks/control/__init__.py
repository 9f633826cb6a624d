"""Control programs and the helpers that authors of control programs share."""
