"""How lists are told page by page, in every app but the tasks API, whose envelope has another form."""

from __future__ import annotations

from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request

from transfers.errors import InvalidInputError


class Pages(PageNumberPagination):
    """Pages of a list: `page` from 1, `page_size` rows each."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 500

    def get_page_size(self, request: Request) -> int:
        """How many rows are asked for; InvalidInputError for what a page cannot have, and not some other number."""
        asked = request.query_params.get(self.page_size_query_param)
        if asked is None:
            return self.page_size
        digits = len(str(self.max_page_size))
        if asked.isascii() and asked.isdecimal() and len(asked) <= digits and 1 <= int(asked) <= self.max_page_size:
            return int(asked)
        raise InvalidInputError({self.page_size_query_param: [f"must be a number from 1 to {self.max_page_size}"]})
