"""Moving files: downloads, uploads, stored files, orders, and the engine below them."""
