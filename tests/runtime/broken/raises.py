"""Cannot be imported."""

from cellwright.tasks.api import BOOL, STRING

SIZE = STRING(20)
WRONG = BOOL.length / 0
