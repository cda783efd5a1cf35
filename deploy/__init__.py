"""How Carryon is deployed, and how that is tested."""
