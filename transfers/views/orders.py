"""`/download/list/{userid}/order` and `/download/order/…`: order, start, look, history."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from transfers import audit
from transfers.errors import InvalidInputError, NoSuchJobError, NoSuchOrderError
from transfers.models import Order
from transfers.serializers.lists import (
    OrderRequestSerializer,
    PageSerializer,
    shown_order,
    shown_order_summary,
)
from transfers.services import order as orders
from transfers.views import lists_described as described
from transfers.views.lists import ListsAPIView, parsed_id

HISTORY_PAGE_SIZE = 50


class OrdersAPIView(ListsAPIView):
    """What all views of orders share."""

    def order(self, request: Request, order_id: str) -> Order:
        """The caller's order of this id."""
        unknown = NoSuchOrderError("There is no such order.")
        return orders.find(user=self.caller(request), order_id=parsed_id(order_id, unknown))

    @staticmethod
    def shown(order: Order) -> Response:
        """The order, with its files."""
        return Response(shown_order(order, orders.file_ids(order=order)))


@described.make_order
class ListOrderView(OrdersAPIView):
    """Ordering what is on a list."""

    throttle_scope = "starts"

    def put(self, request: Request, userid: str) -> Response:
        """Order the whole list, or some of it; what is ordered leaves the list."""
        owner = self.owner(request, userid)
        asked = self.parsed(OrderRequestSerializer, request.data).save()
        return self.shown(orders.make(user=owner, request=asked, by=self.caller(request)))


@described.order
class OrderView(OrdersAPIView):
    """An order."""

    def get(self, request: Request, order_id: str) -> Response:
        """Tell what was ordered."""
        return self.shown(self.order(request, order_id))


@described.start_order
class OrderStartView(OrdersAPIView):
    """The beginning of an order's zip."""

    throttle_scope = "starts"

    def post(self, request: Request, order_id: str) -> Response:
        """Have the order zipped; one that is, or is being, gives the same job."""
        order, caller = self.order(request, order_id), self.caller(request)
        orders.expire_lost(order=order)
        with audit.doing_by_api(by=caller, owner_id=order.user_id, row=order, what="Started"):
            job = orders.start(order=order)
        return Response({"jobId": str(job.pk)})


@described.order_result
class OrderResultView(OrdersAPIView):
    """What became of an order."""

    def get(self, request: Request, order_id: str, job_id: str) -> Response:
        """Tell what became of each file once the zip is made, and where that stands until then."""
        order, unknown = self.order(request, order_id), NoSuchJobError("There is no such job.")
        return self.answer_for(orders.job(user=self.caller(request), job_id=parsed_id(job_id, unknown), order=order))

    def post(self, request: Request, order_id: str, job_id: str) -> Response:
        """The same."""
        return self.get(request, order_id, job_id)


@described.history
class OrderHistoryView(OrdersAPIView):
    """Earlier orders."""

    def get(self, request: Request, userid: str) -> Response:
        """Tell the user's orders, newest first, a page at a time."""
        owner = self.owner(request, userid)
        asked = self.parsed(PageSerializer, request.query_params).validated_data
        before = None
        if token := asked.get("nextPageToken"):
            wrong = InvalidInputError({"nextPageToken": ["is not one that a page ended with"]})
            before = orders.earlier(user=owner, order_id=parsed_id(token, wrong), unknown=wrong)
        page = orders.history(user=owner, before=before, page_size=asked.get("pageSize", HISTORY_PAGE_SIZE))
        told: dict[str, object] = {"page": [shown_order_summary(order) for order in page.orders]}
        return Response(told | ({"nextPageToken": str(page.orders[-1].pk)} if page.more else {}))
