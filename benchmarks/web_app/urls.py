"""The two views."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.urls import path
from rest_framework.generics import RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import ModelSerializer


class UserSerializer(ModelSerializer[User]):
    """A row in a few fields."""

    class Meta:
        """Those."""

        model = User
        fields = ("id", "username", "email", "date_joined", "last_login", "is_active")


class UserView(RetrieveAPIView[User]):
    """A row, for who has a token; and, for who sends a body, how many bytes of it there were."""

    queryset = User.objects.all()
    serializer_class = UserSerializer

    def post(self, request: Request, pk: int) -> Response:
        """Read the body."""
        return Response({"pk": pk, "size": len(request.body)})


def bare(request: HttpRequest) -> HttpResponse:
    """Nothing but the framework, and the header that servers like to drop."""
    return HttpResponse(request.headers.get("Http-Token", "ok"))


urlpatterns = [path("bare", bare), path("users/<int:pk>", UserView.as_view())]
