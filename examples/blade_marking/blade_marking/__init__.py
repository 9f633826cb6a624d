"""The programs of the blade-marking cell."""
