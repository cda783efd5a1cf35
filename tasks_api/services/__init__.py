"""What users and operators can ask for of tasks."""
