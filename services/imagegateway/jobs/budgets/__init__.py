"""Budgets of keys and tenants: reserved before a job is written, settled by its record."""
