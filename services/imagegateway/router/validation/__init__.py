"""Request validation: one list of checks turns a request into a plan, or raises the caller's error."""
