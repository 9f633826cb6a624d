"""Events as clients see them: records, event types, and the language of event filters."""
