"""Router: the public services. Authentication, validation, jobs and responses of every call."""
