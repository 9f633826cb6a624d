"""Events and alarms: what the journal tells becomes events, and alarms become conditions."""
