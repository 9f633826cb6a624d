"""Authors' classes: find, load, freeze, carry over. Start-up and online change load here."""
