"""From the sections on alarms and the recorder to their part of the plan."""
