"""Pure monitoring: series of samples, rules and what they say of them, the life of alerts."""
