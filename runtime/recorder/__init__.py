"""Flight recorder: records, keyframes, triggers; and the replay of what it kept."""
