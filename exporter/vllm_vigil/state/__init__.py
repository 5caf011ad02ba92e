"""What must outlive the process: log positions, incidents, the outbox. One SQLite file, one transaction per step."""
