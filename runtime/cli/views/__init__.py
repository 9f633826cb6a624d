"""Tables and pages that commands print, and the plain data that they are made of."""
