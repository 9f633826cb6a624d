"""From tasks and programs to their part of the plan."""
