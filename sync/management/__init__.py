"""Commands for operators, and what they show."""
