"""The paths of transfers; each takes a trailing slash or none."""

from django.urls import re_path

from transfers.views.content import ContentView
from transfers.views.download import DownloadCheckView, DownloadDetailView, DownloadListView, DownloadStopView
from transfers.views.lists import (
    AddStartView,
    AddView,
    ChildrenView,
    DownloadListOfUserView,
    JobStopView,
    JobView,
    RemoveView,
)
from transfers.views.order_state import OrderFailuresView, OrderStateView
from transfers.views.orders import (
    ListOrderView,
    OrderHistoryView,
    OrderResultView,
    OrderStartView,
    OrderView,
)
from transfers.views.pages import ListPage, LoginPage, LogoutPage, UploadPage
from transfers.views.stored_file import StoredFileDetailView, StoredFileListView, UsageView
from transfers.views.upload import UploadDetailView, UploadPartAddressView, UploadPartView, UploadView
from transfers.views.zip import ZipView

_UUID = r"(?P<pk>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"

_FILE = r"^files/(?P<pk>[0-9]{1,19})"

_UPLOAD = r"^ehealth-base/multipart/upload"
_UPLOAD_ID = r"(?P<upload_id>[0-9]{1,19})"
_PART = r"parts/(?P<part>[0-9]{1,9})"

# Whatever is no user, order or job is told so by the views.
_LIST = r"^download/list/(?P<userid>[^/]{1,40})"
_ORDER = r"^download/order/(?P<order_id>[^/]{1,40})"
_JOB_ID = r"(?P<job_id>[^/]{1,40})"

urlpatterns = [
    re_path(rf"{_UPLOAD}/?$", UploadView.as_view(), name="upload"),
    re_path(rf"{_UPLOAD}/{_UPLOAD_ID}/?$", UploadDetailView.as_view(), name="upload-detail"),
    re_path(rf"{_UPLOAD}/{_UPLOAD_ID}/{_PART}/?$", UploadPartView.as_view(), name="upload-part"),
    re_path(rf"{_UPLOAD}/{_UPLOAD_ID}/{_PART}/url/?$", UploadPartAddressView.as_view(), name="upload-part-address"),
    re_path(r"^api/file/download/?$", DownloadListView.as_view(), name="download-list"),
    re_path(r"^api/file/download/stop/?$", DownloadStopView.as_view(), name="download-stop"),
    re_path(r"^api/file/download/check/?$", DownloadCheckView.as_view(), name="download-check"),
    re_path(rf"^api/file/download/{_UUID}/?$", DownloadDetailView.as_view(), name="download-detail"),
    re_path(r"^files/?$", StoredFileListView.as_view(), name="stored-file-list"),
    re_path(r"^files/usage/?$", UsageView.as_view(), name="usage"),
    re_path(rf"{_FILE}/?$", StoredFileDetailView.as_view(), name="stored-file-detail"),
    re_path(rf"{_FILE}/content/?$", ContentView.as_view(), name="stored-file-content"),
    re_path(r"^entity/children/?$", ChildrenView.as_view(), name="children"),
    re_path(rf"{_LIST}/?$", DownloadListOfUserView.as_view(), name="list"),
    re_path(rf"{_LIST}/add/?$", AddView.as_view(), name="list-add"),
    re_path(rf"{_LIST}/add/async/start/?$", AddStartView.as_view(), name="list-add-start"),
    re_path(rf"{_LIST}/remove/?$", RemoveView.as_view(), name="list-remove"),
    re_path(rf"{_LIST}/order/?$", ListOrderView.as_view(), name="list-order"),
    re_path(rf"^async/get/{_JOB_ID}/?$", JobView.as_view(), name="list-job"),
    re_path(rf"^async/stop/{_JOB_ID}/?$", JobStopView.as_view(), name="list-job-stop"),
    re_path(r"^download/order/(?P<userid>[^/]{1,40})/history/?$", OrderHistoryView.as_view(), name="order-history"),
    re_path(rf"{_ORDER}/?$", OrderView.as_view(), name="order"),
    re_path(rf"{_ORDER}/async/start/?$", OrderStartView.as_view(), name="order-start"),
    re_path(rf"{_ORDER}/async/get/{_JOB_ID}/?$", OrderResultView.as_view(), name="order-result"),
    re_path(rf"{_ORDER}/state/?$", OrderStateView.as_view(), name="order-state"),
    re_path(rf"{_ORDER}/failures/?$", OrderFailuresView.as_view(), name="order-failures"),
    re_path(rf"{_ORDER}/zip/?$", ZipView.as_view(), name="order-zip"),
    re_path(r"^upload/?$", UploadPage.as_view(), name="upload-page"),
    re_path(r"^list/?$", ListPage.as_view(), name="list-page"),
    re_path(r"^login/?$", LoginPage.as_view(), name="login"),
    re_path(r"^logout/?$", LogoutPage.as_view(), name="logout"),
]
