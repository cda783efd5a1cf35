"""Whether what the service needs is there: asked within bounded time, told without secrets."""
