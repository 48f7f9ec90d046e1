"""Emulators of the providers' APIs: strict about what they are sent, faithful in what they answer."""
