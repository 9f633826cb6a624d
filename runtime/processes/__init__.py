"""The processes of a cell, one module each: what the supervisor starts and watches."""
