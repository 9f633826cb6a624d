"""Files as the whole house reads and replaces them; knows nothing of what they say."""
