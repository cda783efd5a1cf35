"""HTTP: parse, authorize, one service call, answer."""
