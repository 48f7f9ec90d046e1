"""Administration: keys, tenants, provider health, jobs of all tenants, and the audit trail of these calls."""
