"""What revision 0002 is made of."""
